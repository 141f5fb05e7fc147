"""A pool of workers whose teacher is a known scene, so that they start quickly and can be killed.

DITTA_KILLS=20 runs the whole trial: twenty kills over ten videos.
"""

import os
import random
import signal
import sys

import pytest

from ditta_jax.errors import UserError
from ditta_jax.teacher.cache import masklets_path, read_masklets, write_request
from teacher_bridge.serving.entries import find_entries
from teacher_bridge.serving.pool import Pool
from teacher_bridge.serving.questions import Listed, listed
from tests.teacher_bridge.scenes import (
    ListedFrames,
    central_reliability,
    moving_squares,
    request_for,
)

KEY = "7e" * 32
FRAMES = 4

# A worker that writes down its process and every begin; what else it does is up to the test.
WORKER = """
import os, sys, time
from pathlib import Path
from teacher_bridge.__main__ import _report_json
from teacher_bridge.search.tracks import find_masklets
from teacher_bridge.serving.lifeline import follow_parent
from teacher_bridge.serving.worker import work
from tests.teacher_bridge.scenes import ScriptedTracker, moving_squares

class Teacher:
    def prepare(self):
        pass

    def answer(self, entry, alive):
        video = entry.request.video
        with open(tries, "a") as file:
            print(os.getpid(), video, file=file)
        attempts = [line.split()[1] for line in tries.read_text().splitlines()].count(video)
        {body}
        return find_masklets(ScriptedTracker(moving_squares(4, (24, 32))[1]), entry.request)

cache, tries = Path(sys.argv[1]), Path(sys.argv[2])
{start}
work(follow_parent(), cache, Teacher(), {{"teacher": "scene"}}, "7e" * 32, _report_json)
"""


@pytest.fixture
def make_cache(tmp_path):
    def make(videos):
        images, labels = moving_squares(FRAMES, (24, 32))
        seen = labels.copy()
        seen[:2][seen[:2] == 2] = 0  # the second square is prompted late: tracked back, too
        for v in range(videos):
            request = request_for(seen, central_reliability(seen), 3, video=f"v{v}")
            write_request(tmp_path / "cache", request, ListedFrames(images))
        return tmp_path / "cache"

    return make


def workers(cache, count, body="pass", start=""):
    program = WORKER.format(body=body, start=start)
    tries = cache.parent / "tries"
    tries.touch()
    return [[sys.executable, "-c", program, str(cache), str(tries)]] * count


def tried(cache):
    return [line.split()[1] for line in (cache.parent / "tries").read_text().splitlines()]


def answer(cache, commands, patience=0.0):
    events = []
    folders = find_entries(cache, ())
    questions = listed(folders, 0, events.append)
    failures = Pool(commands, events.append, patience).answer(questions)
    return events, failures


def answers(cache):
    """The masks of every entry, without what a run says of itself."""
    return {f.name: read_masklets(f, KEY)._replace(provenance={}) for f in find_entries(cache, ())}


def same(a, b):
    return {name: (m.objects, m.frames) for name, m in a.items()} == {
        name: (m.objects, m.frames) for name, m in b.items()
    }


def test_workers_share_the_videos(make_cache):
    cache = make_cache(4)
    events, failures = answer(cache, workers(cache, 2, "time.sleep(0.3)"))
    assert failures == [] and sorted(tried(cache)) == ["v0", "v1", "v2", "v3"]
    pids = {line.split()[0] for line in (cache.parent / "tries").read_text().splitlines()}
    assert len(pids) == 2
    done = [(e["done"], e["total"]) for e in events if e["event"] == "video"]
    assert done == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert events[0] == {"event": "start", "total": 4, "finished": 0}
    assert not list(cache.glob("*/.claim*"))


def test_a_crash_leaves_the_others_running_and_is_taken_over(make_cache):
    cache = make_cache(3)
    crash = "attempts == 1 and video == 'v1' and os.kill(os.getpid(), 9)"
    events, failures = answer(cache, workers(cache, 2, crash))
    assert failures == [] and sorted(tried(cache)) == ["v0", "v1", "v1", "v2"]
    assert [e["done"] for e in events if e["event"] == "video"] == [1, 2, 3]


@pytest.mark.robustness(
    "Teacher and masklets",
    "one of several workers dies of a video, again and again",
    "three workers try it, then the video is reported; the others go on",
)
def test_a_video_that_kills_every_worker_is_given_up(make_cache, said):
    cache = make_cache(2)
    crash = "video == 'v0' and (print('no memory', file=sys.stderr), os.kill(os.getpid(), 9))"
    events, failures = answer(cache, workers(cache, 2, crash))
    assert tried(cache).count("v0") == 3 and tried(cache).count("v1") == 1
    assert len(failures) == 1 and "every worker that tried it ended: killed by SIGKILL" in said(
        failures[0]
    )
    assert [e["event"] for e in events if e["event"] in ("failed", "video")].count("failed") == 1


def test_an_exception_fails_its_video_only(make_cache):
    cache = make_cache(2)
    _, failures = answer(cache, workers(cache, 1, "assert video != 'v0', 'impossible'"))
    assert len(failures) == 1 and failures[0].endswith("AssertionError: impossible")
    assert tried(cache) == ["v0", "v1"]


def test_a_hanging_worker_is_stopped_and_its_video_reported(make_cache, monkeypatch):
    monkeypatch.setattr("ditta_jax.teacher.child._STOP_SECONDS", 0.5)
    cache = make_cache(2)
    hang = "video == 'v0' and os.kill(os.getpid(), 19)"
    _, failures = answer(cache, workers(cache, 1, hang), patience=6.0)
    assert len(failures) == 1 and "no sign of life for 6 s" in failures[0]
    assert tried(cache) == ["v0", "v1"]


def test_workers_that_cannot_start_are_one_error(make_cache):
    cache = make_cache(2)
    with pytest.raises(UserError, match="ended before it was ready: exit status 2: no weights"):
        answer(cache, workers(cache, 2, start="print('error: no weights'); sys.exit(2)"))


def test_what_another_teacher_is_at_is_left_to_it(make_cache):
    """Two pools at one cache: nothing is done twice."""
    cache = make_cache(3)
    commands = workers(cache, 2, "time.sleep(0.5)")
    other = f"""
from pathlib import Path
from teacher_bridge.serving.pool import Pool
from teacher_bridge.serving.questions import Listed
from teacher_bridge.serving.entries import find_entries
Pool({commands!r}, lambda event: None).answer(Listed(find_entries(Path({str(cache)!r}), ())))
"""
    import subprocess

    with subprocess.Popen([sys.executable, "-c", other]) as process:
        _, failures = answer(cache, commands)
        assert process.wait(60) == 0
    assert failures == [] and len(answers(cache)) == 3
    # A video may be begun by the second after the first has let it go, not answered twice.
    assert sorted(tried(cache)) == ["v0", "v1", "v2"]


def test_random_kills_end_in_the_same_masks(make_cache):
    kills = int(os.environ.get("DITTA_KILLS", "3"))
    videos = max(3, kills // 2)
    cache = make_cache(videos)
    _, failures = answer(cache, workers(cache, 3))
    assert failures == []
    undisturbed = answers(cache)
    for folder in find_entries(cache, ()):
        masklets_path(folder, KEY).unlink()
    (cache.parent / "tries").unlink()

    random_ = random.Random(0)
    left = [kills]

    def kill_sometimes(event):
        """Kills one of the workers that began a video, at most five times at each video."""
        lines = [line.split() for line in (cache.parent / "tries").read_text().splitlines()]
        often = {video for _, video in lines if sum(v == video for _, v in lines) > 5}
        pids = {int(pid) for pid, video in lines if video not in often}
        for pid in random_.sample(sorted(pids), len(pids)) if left[0] else ():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            left[0] -= 1
            return

    body = "for t in range(5): time.sleep(0.05); alive(t)"
    pool = Pool(workers(cache, 3, body), kill_sometimes, attempts=12)
    failures = pool.answer(Listed(find_entries(cache, ())))
    assert left[0] == 0, "fewer kills than asked for"
    assert failures == [] and same(answers(cache), undisturbed)

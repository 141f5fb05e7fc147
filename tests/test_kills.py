"""Runs that are killed at random moments, adapt and its teacher in turn, end as an undisturbed one.

Few kills in CI; DITTA_KILLS=30 runs the whole trial.
"""

import contextlib
import itertools
import json
import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests import small_run

KILLS = int(os.environ.get("DITTA_KILLS", "2"))
VIDEOS = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kills")
    small_run.make(folder, VIDEOS)
    return folder


def teacher_of(process):
    """The process id of its teacher, whichever thread started it; None if it ends without one."""
    while process.poll() is None:
        for thread in Path(f"/proc/{process.pid}/task").glob("*/children"):
            with contextlib.suppress(OSError):  # threads and processes come and go
                for child in map(int, thread.read_text().split()):
                    if b"teacher_bridge" in Path(f"/proc/{child}/cmdline").read_bytes():
                        return child
        time.sleep(0.01)
    return None


def kill_adapt(run, lines, chance):
    """After one of its lines, or shortly after."""
    if not run.listen(chance.randint(1, lines)):
        return False
    time.sleep(chance.random() * 0.3)
    run.process.kill()
    return run.end() == -signal.SIGKILL


def kill_teacher(run, chance):
    child = teacher_of(run.process)
    if child is None:
        return False
    time.sleep(chance.random())
    try:
        os.kill(child, signal.SIGKILL)
    except ProcessLookupError:
        return False
    run.end()
    return True


def check_overlap(result):
    """The teacher is at a video before the student is done with the one before it."""
    content = json.loads(result.read_text())
    timelines = [video["timeline"] for video in content["videos"]]
    for one, following in itertools.pairwise(timelines):
        assert following["teacher"][0][0] < max(end for _, _, end in one["student"])
    assert content["overlap"]["both_seconds"] > 0 and 0 < content["overlap"]["hidden"] <= 1


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the teacher in /proc")
@pytest.mark.robustness(
    "Run folders", "adapt and its teacher killed at random moments", "the results are the same"
)
def test_random_kills_end_in_the_results_of_an_undisturbed_run(folder, tmp_path):
    undisturbed = small_run.Run(folder, tmp_path / "undisturbed")
    assert undisturbed.end() == 0, "".join(undisturbed.lines)
    expected = small_run.content(tmp_path / "undisturbed")
    assert all(video["scores"] for video in expected[1]) and len(expected[3]) >= VIDEOS * 4
    check_overlap(tmp_path / "undisturbed" / "run" / "result.json")

    chance, killed, attempt = random.Random(KILLS), 0, 0
    while killed < KILLS:
        assert attempt <= 5 * KILLS, "runs end before they can be struck"
        output = tmp_path / f"killed_{attempt}"
        run = small_run.Run(folder, output)
        if killed % 2:
            struck = kill_teacher(run, chance)
        else:
            struck = kill_adapt(run, len(undisturbed.lines), chance)
        killed += struck
        if not struck or run.process.returncode == 0:  # whole before it was struck, or in spite
            assert run.end() == 0, "".join(run.lines)
            assert small_run.content(output) == expected
            attempt += 1
    last = small_run.Run(folder, output := tmp_path / f"killed_{attempt}")
    assert last.end() == 0, "".join(last.lines)
    assert small_run.content(output) == expected
    leftovers = [p for p in output.rglob("*") if p.name.endswith((".partial", ".room"))]
    assert not [p for p in leftovers if "teacher_cache" not in str(p)], leftovers

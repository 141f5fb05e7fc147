import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from ditta_jax.errors import UserError
from ditta_jax.teacher import process
from ditta_jax.teacher.cache import (
    masklets_path,
    read_masklets,
    teacher_key,
    write_masklets,
    write_request,
)
from ditta_jax.teacher.process import run_teacher, teacher_identity
from teacher_bridge.search.tracks import find_masklets
from tests.teacher_bridge.scenes import (
    ListedFrames,
    ScriptedTracker,
    central_reliability,
    moving_squares,
    request_for,
)

IMAGES, LABELS = moving_squares(2, (24, 32))
DIGEST = "sha256:" + "0" * 64


def settings(**values):
    defaults = {
        "config": "embedded",
        "checkpoint": DIGEST,
        "device": "cpu",
        "dtype": "float32",
        "mask_threshold": 2.0,  # its own
        "python": "",
        "run": True,
        "target": "",
        "threads": 1,
        "workers": 1,
        "patience": 60.0,
    }
    return SimpleNamespace(**{**defaults, **values})


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def entry(cache):
    request = request_for(LABELS, central_reliability(LABELS), 3, video="a video")
    return write_request(cache, request, ListedFrames(IMAGES))


def palette_of(folder):
    from PIL import Image

    video = folder / "palette" / "a video"
    video.mkdir(parents=True)
    for t, label in enumerate(LABELS):
        Image.fromarray(label).save(video / f"frame{t}.png")
    return f"palette:{folder / 'palette'}"


def interpreter(folder, script):
    """A stand-in for a Python interpreter that does what a shell script says."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_the_process_answers_and_reports(cache, entry, tmp_path):
    teacher = settings(config=palette_of(tmp_path), checkpoint="")
    events = []
    run_teacher(cache, teacher, [entry], events.append)
    assert [event["event"] for event in events] == ["loads", "ready", "begin", "video"]
    assert events[2]["video"] == events[3]["video"] == "a video"
    answer = masklets_path(entry, teacher_key(teacher_identity(teacher)))
    whole = answer.read_bytes()
    events.clear()
    run_teacher(cache, teacher, [entry], events.append)
    assert events == []
    answer.write_bytes(whole[:-1])
    run_teacher(cache, teacher, [entry], events.append)
    assert [event["event"] for event in events] == ["loads", "ready", "begin", "video"]


def test_a_video_that_fails_is_named_with_the_reason(cache, entry, tmp_path):
    teacher = settings(config=palette_of(tmp_path), checkpoint="")
    (tmp_path / "palette" / "a video" / "frame0.png").unlink()
    ((name, message),) = run_teacher(cache, teacher, [entry]).items()
    assert name == entry.name and "frame0.png: no such mask" in message


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo noise; echo 'error: no weights' >&2; echo more; exit 2", "stopped: no weights"),
        ("echo 'Segmentation fault'; exit 139", "stopped: Segmentation fault"),
        ("kill -9 $$", "stopped: killed by SIGKILL"),
        ("exit 3", "stopped: exit status 3"),
        ("exit 0", "left no masklets"),
    ],
)
def test_other_ways_to_fail(cache, entry, tmp_path, script, message):
    weights = tmp_path / "weights.pt"
    weights.write_bytes(b"w")
    python = interpreter(tmp_path, script)
    with pytest.raises(UserError, match=message):
        run_teacher(cache, settings(checkpoint=str(weights), python=python), [entry])


def test_a_missing_interpreter_is_named(cache, entry, tmp_path):
    weights = tmp_path / "weights.pt"
    weights.write_bytes(b"w")
    with pytest.raises(UserError, match="teacher.python: /nowhere/python"):
        run_teacher(cache, settings(checkpoint=str(weights), python="/nowhere/python"), [entry])


def test_the_process_ends_with_an_interrupted_listener(cache, entry, tmp_path):
    weights, pid = tmp_path / "weights.pt", tmp_path / "pid"
    weights.write_bytes(b"w")
    line = f'{{"event": "begin", "entry": "{entry.name}", "video": "a video"}}'
    python = interpreter(tmp_path, f"echo $$ > '{pid}'; echo '{line}'; exec sleep 60")

    def interrupt(event):
        if event["event"] == "begin":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_teacher(cache, settings(checkpoint=str(weights), python=python), [entry], interrupt)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


@pytest.mark.parametrize("values", [{"run": False}, {"run": True}])
def test_what_may_not_run_here_is_answered_by_a_command(cache, entry, values):
    # With only a digest of the weights, the teacher cannot run here either.
    teacher = settings(dtype="bfloat16", **values)
    with pytest.raises(UserError) as caught:
        run_teacher(cache, teacher, [entry])
    message = str(caught.value)
    assert f"--cache={cache} --config=embedded --dtype=bfloat16 --checkpoint=WEIGHTS" in message
    assert "0" * 64 in message and "1 videos have no masklets" in message


def test_answers_from_elsewhere_are_enough(cache, entry):
    teacher = settings(run=False)
    request = request_for(LABELS, central_reliability(LABELS), 3, video="a video")
    masklets = find_masklets(ScriptedTracker(LABELS), request)
    write_masklets(entry, teacher_key(teacher_identity(teacher)), masklets)
    run_teacher(cache, teacher, [entry])


# --- a teacher that dies, hangs or babbles -------------------------------------------------------


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "weights.pt"
    path.write_bytes(b"w")
    return str(path)


@pytest.fixture
def two_entries(cache):
    for video in ("first", "second"):
        request = request_for(LABELS, central_reliability(LABELS), 3, video=video)
        write_request(cache, request, ListedFrames(IMAGES))
    return sorted(cache.iterdir())


def teacher_that(tmp_path, weights, body, **values):
    """A stand-in for the teacher: Python that is told its entries, and how to begin and answer."""
    program = tmp_path / "teacher.py"
    program.write_text(
        f"""
import json, os, signal, sys, time
from pathlib import Path
from ditta_jax.teacher.cache import read_entry, write_masklets
from teacher_bridge.search.tracks import find_masklets
from tests.teacher_bridge.scenes import ScriptedTracker, moving_squares

options = dict(word[2:].split("=", 1) for word in sys.argv if "=" in word)
names = iter(lambda: sys.stdin.readline().strip(), "")
cache, tries = Path(options["cache"]), Path({str(tmp_path / "tries")!r})

def say(**event):
    print(json.dumps(event), flush=True)

def begin(name):
    with open(tries, "a") as file:
        file.write(name + "\\n")
    say(event="begin", entry=name, video=name[:-17])

def answer(name):
    request = read_entry(cache / name).request
    tracker = ScriptedTracker(moving_squares(2, (24, 32))[1])
    write_masklets(cache / name, {teacher_key(teacher_identity(settings(checkpoint=weights)))!r},
                   find_masklets(tracker, request))
    say(event="video", entry=name, video=name[:-17], frames=2, objects=2, seconds=1.0, done=1,
        total=2)

{body}
"""
    )
    python = interpreter(tmp_path, f'exec {sys.executable} {program} "$@"')
    return settings(checkpoint=weights, python=python, **values)


def tried(tmp_path):
    return [name[:-17] for name in (tmp_path / "tries").read_text().split()]


@pytest.mark.robustness(
    "Teacher and masklets",
    "the teacher's process dies of one video (no memory, a crash)",
    "it is tried twice, then the video is reported with the signal and the last words;"
    " the others are answered",
)
def test_a_video_that_kills_the_teacher_is_reported_and_the_others_go_on(
    cache, two_entries, tmp_path, weights, said
):
    body = """
for name in names:
    begin(name)
    if name.startswith("first"):
        print("MemoryError: too large", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    answer(name)
"""
    events = []
    teacher = teacher_that(tmp_path, weights, body)
    lost = run_teacher(cache, teacher, two_entries, events.append)
    assert list(lost) == [two_entries[0].name]
    message = lost[two_entries[0].name]
    assert "video 'first': the teacher stopped: killed by SIGKILL" in message
    assert "MemoryError: too large" in message and "\n" not in message
    said(message)
    assert tried(tmp_path) == ["first", "first", "second"]
    assert [e["message"] for e in events if e["event"] == "failed"] == [message]
    assert run_teacher(cache, teacher, two_entries[1:]) == {}  # answered


def test_a_teacher_that_dies_once_is_started_again(cache, two_entries, tmp_path, weights):
    body = """
for name in names:
    begin(name)
    if tries.read_text().count("second") == 1:
        sys.exit("out of luck")
    answer(name)
"""
    assert run_teacher(cache, teacher_that(tmp_path, weights, body), two_entries) == {}
    assert tried(tmp_path) == ["first", "second", "second"]


def test_a_teacher_killed_between_two_videos_goes_on(cache, two_entries, tmp_path, weights):
    body = """
for name in names:
    begin(name)
    answer(name)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert run_teacher(cache, teacher_that(tmp_path, weights, body), two_entries) == {}
    assert tried(tmp_path) == ["first", "second"]


@pytest.mark.robustness(
    "Teacher and masklets",
    "the teacher stops answering in the middle of a video",
    "after teacher.patience seconds it is stopped, the video is reported, the others go on",
)
def test_a_teacher_that_hangs_is_stopped(cache, two_entries, tmp_path, weights, said, monkeypatch):
    monkeypatch.setattr("ditta_jax.teacher.process._POOL_SECONDS", 0.0)
    body = """
for name in names:
    begin(name)
    if name.startswith("first"):
        print("noise is no sign of life\\\\n" * 1000, flush=True)
        os.kill(os.getpid(), signal.SIGSTOP)
    answer(name)
"""
    monkeypatch.setattr("ditta_jax.teacher.child._STOP_SECONDS", 0.5)
    teacher = teacher_that(tmp_path, weights, body, patience=6.0)
    lost = run_teacher(cache, teacher, two_entries)
    assert "video 'first': the teacher stopped: no sign of life for 6 s" in said(
        lost[two_entries[0].name]
    )
    assert tried(tmp_path) == ["first", "second"]


def test_a_teacher_that_never_begins_is_no_videos_fault(cache, entry, tmp_path, monkeypatch):
    monkeypatch.setattr("ditta_jax.teacher.process._POOL_SECONDS", 0.0)
    (tmp_path / "weights.pt").write_bytes(b"w")
    python = interpreter(tmp_path, "exec sleep 60")
    teacher = settings(checkpoint=str(tmp_path / "weights.pt"), python=python, patience=0.3)
    with pytest.raises(UserError, match="the teacher stopped: no sign of life"):
        run_teacher(cache, teacher, [entry])


def test_signs_of_life_are_enough(cache, two_entries, tmp_path, weights, monkeypatch):
    monkeypatch.setattr("ditta_jax.teacher.process._POOL_SECONDS", 0.0)
    body = """
for name in names:
    begin(name)
    for frame in range(3):
        time.sleep(2.5)
        say(event="alive", entry=name, frame=frame)
    answer(name)
"""
    teacher = teacher_that(tmp_path, weights, body, patience=6.0)
    assert run_teacher(cache, teacher, two_entries[:1]) == {}


def test_a_session_asks_one_process_as_questions_come(cache, two_entries, tmp_path, weights):
    """It may be idle for longer than it may be silent, and its end needs no signal."""
    body = f"""
for name in names:
    begin(name)
    answer(name)
Path({str(tmp_path / "ended")!r}).write_text(str(os.getpid()))
"""
    events = []
    teacher = teacher_that(tmp_path, weights, body, patience=3.0)
    with process.open_session(cache, teacher, events.append) as session:
        for entry in two_entries:
            session.ask(entry)
            assert session.wait(entry) is None
            time.sleep(0.2)
        assert read_masklets(two_entries[1], teacher_key(teacher_identity(teacher))) is not None
    assert [event["event"] for event in events] == ["loads", *["begin", "video"] * 2]
    assert int((tmp_path / "ended").read_text()) > 0 and tried(tmp_path) == ["first", "second"]


def test_a_teacher_killed_while_idle_is_started_again(cache, two_entries, tmp_path, weights):
    body = """
for name in names:
    begin(name)
    answer(name)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    with process.open_session(cache, teacher_that(tmp_path, weights, body)) as session:
        for entry in two_entries:
            session.ask(entry)
            assert session.wait(entry) is None
            time.sleep(0.2)
    assert tried(tmp_path) == ["first", "second"]


def test_a_session_that_is_left_early_leaves_no_process(cache, two_entries, tmp_path, weights):
    body = f"""
for name in names:
    Path({str(tmp_path / "pid")!r}).write_text(str(os.getpid()))
    begin(name)
    time.sleep(60)
"""
    begun = threading.Event()
    teacher = teacher_that(tmp_path, weights, body)

    def listen(event):
        if event["event"] == "begin":
            begun.set()

    with process.open_session(cache, teacher, listen) as session:
        session.ask(two_entries[0])
        assert begun.wait(60)
    assert not is_alive(int((tmp_path / "pid").read_text()))


def test_false_events_of_other_entries_do_no_harm(cache, two_entries, tmp_path, weights):
    body = """
say(event="failed", entry="../../etc", message="x")
say(event="begin", entry="unknown", video="unknown")
sys.exit("enough")
"""
    with pytest.raises(UserError, match="the teacher stopped: enough"):
        run_teacher(cache, teacher_that(tmp_path, weights, body), two_entries)


@pytest.mark.robustness(
    "Teacher and masklets",
    "`adapt` is killed (SIGTERM, SIGKILL) while the teacher works",
    "the teacher ends with it",
)
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_the_teacher_ends_with_whoever_started_it(how):
    """The parent starts the teacher's lifeline and is killed; the teacher computes on, deaf."""
    child = """
import os, signal, time
from teacher_bridge.serving.lifeline import follow_parent
signal.signal(signal.SIGTERM, lambda *_: None)  # deep in a computation
follow_parent()
print(os.getpid(), flush=True)
time.sleep(60)
"""
    parent = f"""
import os, sys, time
from ditta_jax.teacher.child import Child, new_inbox
child = Child([sys.executable, "-c", {child!r}], dict(os.environ), new_inbox())
while not child._tail: time.sleep(0.05)
print(child.pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE) as starter:
        pid = int(starter.stdout.readline())
        starter.send_signal(how)
        starter.wait()
    for _ in range(200):
        if not is_alive(pid):
            break
        time.sleep(0.05)
    assert not is_alive(pid)


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat_file = Path(f"/proc/{pid}/stat")
    return not stat_file.exists() or stat_file.read_text().rpartition(")")[2].split()[0] != "Z"

import os
import stat
from types import SimpleNamespace

import pytest

from ditta_jax.errors import UserError
from ditta_jax.teacher.cache import masklets_path, teacher_key, write_masklets, write_request
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
        "mask_threshold": 0.0,
        "python": "",
        "run": True,
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
    assert [event["event"] for event in events] == ["start", "begin", "video"]
    assert events[1]["video"] == events[2]["video"] == "a video"
    answer = masklets_path(entry, teacher_key(teacher_identity(teacher)))
    whole = answer.read_bytes()
    events.clear()
    run_teacher(cache, teacher, [entry], events.append)
    assert events == []
    answer.write_bytes(whole[:-1])
    run_teacher(cache, teacher, [entry], events.append)
    assert [event["event"] for event in events] == ["start", "begin", "video"]


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
    line = '{"event": "start", "total": 1, "finished": 0}'
    python = interpreter(tmp_path, f"echo $$ > '{pid}'; echo '{line}'; exec sleep 60")

    def interrupt(event):
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

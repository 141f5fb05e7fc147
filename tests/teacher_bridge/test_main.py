import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ditta_jax.errors import UserError
from ditta_jax.teacher.cache import masklets_path, read_masklets, teacher_key, write_request
from ditta_jax.teacher.identity import teacher_identity
from teacher_bridge.__main__ import main
from tests.teacher_bridge.scenes import (
    ListedFrames,
    central_reliability,
    moving_squares,
    request_for,
)

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def process_as_before(monkeypatch):
    """The command line sets a signal handler and environment variables for its process."""
    monkeypatch.setattr(os, "environ", os.environ.copy())
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def cache(tmp_path):
    images, labels = moving_squares(3)
    for video in "ab":
        request = request_for(labels, central_reliability(labels), 3, video=video)
        write_request(tmp_path / "cache", request, ListedFrames(images))
    return tmp_path / "cache"


@pytest.fixture
def palette(tmp_path):
    """Another tracker's masks of both videos."""
    _, labels = moving_squares(3)
    for video in "ab":
        folder = tmp_path / "palette" / video
        folder.mkdir(parents=True)
        for t, label in enumerate(labels):
            Image.fromarray(label).save(folder / f"frame{t}.png")
    return tmp_path / "palette"


def start(*arguments):
    """Starts the command line as a process of its own."""
    command = [sys.executable, "-m", "teacher_bridge", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=REPOSITORY, text=True, **pipes)


def test_three_frames_through_a_real_sam2(cache, nano_weights, capfd):
    key = teacher_key(teacher_identity("embedded", str(nano_weights), mask_threshold=2.0))
    first, second = sorted(cache.iterdir())
    # What a killed run leaves: a partial file, and an answer cut off by a full disk.
    (first / f".{masklets_path(first, key).name}.1-1.partial").write_bytes(b'{\n"checksum"')
    masklets_path(second, key).write_bytes(b'{\n"checksum": "')
    arguments = [
        "--cache",
        cache,
        "--checkpoint",
        nano_weights,
        "--device",
        "cpu",
        "--threads",
        "1",
    ]
    with start(*arguments, "--json") as process:
        output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    events = [json.loads(line) for line in output.splitlines()]
    kinds = [event["event"] for event in events if event["event"] != "alive"]
    assert kinds == ["start", "ready", "begin", "video", "begin", "video"]
    assert masklets_path(second, key).name in errors  # named, and computed again
    for folder in (first, second):
        masklets = read_masklets(folder, key)
        assert len(masklets.frames) == 3 and len(masklets.objects) == 3
        versions = masklets.provenance["versions"]
        assert "torch" in versions and ("sam2" in versions or "rf-sam-2" in versions)
        assert masklets.provenance["device"] == "cpu"
        _, labels = moving_squares(3)
        ids, masks = masklets.decode(0)
        largest = masks[np.argmax([mask.sum() for mask in masks])]
        assert ids.size == 3 and (largest & (labels[0] == 0)).any()


def test_palette_masks_need_no_network(cache, palette, capsys):
    arguments = ["--cache", str(cache), "--config", f"palette:{palette}"]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "2 videos to do, 0 finished before"
    assert lines[1].startswith("[1/2] a: 3 frames, 2 objects, ")
    key = teacher_key(teacher_identity(f"palette:{palette}"))
    _, labels = moving_squares(3)
    for folder in cache.iterdir():
        ids, masks = read_masklets(folder, key).decode(1)
        assert ids.tolist() == [1, 2]
        assert np.array_equal(masks, [labels[1] == 1, labels[1] == 2])
    assert main(arguments) == 0
    assert capsys.readouterr().out == "0 videos to do, 2 finished before\n"


def test_workers_leave_the_same_masks(cache, palette, capsys):
    arguments = ["--cache", str(cache), "--config", f"palette:{palette}"]
    assert main([*arguments, "--workers", "2", "--device", "cpu,cpu"]) == 0
    assert "[2/2] " in capsys.readouterr().out
    key = teacher_key(teacher_identity(f"palette:{palette}"))
    answers = [read_masklets(folder, key).frames for folder in sorted(cache.iterdir())]
    for folder in cache.iterdir():
        masklets_path(folder, key).unlink()
    assert main(arguments) == 0
    assert answers == [read_masklets(folder, key).frames for folder in sorted(cache.iterdir())]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workers", "0"], "--workers must be 1 or more"),
        (["--patience", "nan"], "--patience must be seconds"),
        (["--patience", "-1"], "--patience must be seconds"),
        (["--entry", "../other"], "'../other' is no name of an entry: it is a path"),
        (["--entry=--help"], "--help: no request here"),
        (["--mask-threshold", "nan"], "--mask-threshold must be in -1000.0 … 1000.0, not nan"),
        (["--mask-threshold", "1e9"], "--mask-threshold must be in"),
        (["--threads", "-1"], "--threads must be in 0 … 1024, not -1"),
        (["--device", ""], "--device must be auto, cpu"),
        (["--device", "cpu,"], "--device must be auto, cpu"),
    ],
)
def test_odd_arguments_are_one_line(cache, palette, arguments, message):
    with pytest.raises(UserError, match=message):
        main(["--cache", str(cache), "--config", f"palette:{palette}", *arguments])


def test_a_failed_video_is_named_at_the_end(cache, palette, capsys):
    (palette / "a" / "frame1.png").unlink()
    with pytest.raises(UserError, match="1 of 2 videos failed; first: .*frame1.png: no such mask"):
        main(["--cache", str(cache), "--config", f"palette:{palette}"])
    captured = capsys.readouterr()
    assert "[2/2] b: 3 frames" in captured.out
    assert "failed: " in captured.err


def test_faults_are_one_line_and_an_exit_status(cache):
    with start("--cache", cache, "--checkpoint", "nowhere.pt") as process:
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 2 and output == ""
    assert errors == "error: teacher.checkpoint: nowhere.pt: no such file\n"


def test_a_missing_package_is_named(monkeypatch, cache):
    monkeypatch.setitem(sys.modules, "sam2", None)
    weights = cache.parent / "weights.pt"
    weights.write_bytes(b"")
    with pytest.raises(UserError, match=r"'sam2'.*pip install 'ditta-jax\[teacher\]'"):
        main(["--cache", str(cache), "--checkpoint", str(weights)])


def test_a_terminated_watcher_keeps_what_it_finished(cache, palette):
    with start("--cache", cache, "--config", f"palette:{palette}", "--watch", "--json") as process:
        events = [json.loads(process.stdout.readline())["event"] for _ in range(6)]
        process.send_signal(signal.SIGTERM)
        begin = time.monotonic()
        _, errors = process.communicate(timeout=30)
    assert events == ["start", "ready", "begin", "video", "begin", "video"]
    assert process.returncode == 130 and "Traceback" not in errors
    assert time.monotonic() - begin < 20
    key = teacher_key(teacher_identity(f"palette:{palette}"))
    assert all(read_masklets(folder, key) is not None for folder in cache.iterdir())

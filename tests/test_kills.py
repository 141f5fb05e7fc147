"""Runs that are killed at random moments, adapt and its teacher in turn, end as an undisturbed one.

Few kills in CI; DITTA_KILLS=30 runs the whole trial.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ditta_jax.students import checkpoint
from ditta_jax.students.segformer.config import SegFormerConfig
from ditta_jax.students.student import new_student

REPOSITORY = Path(__file__).resolve().parent.parent
KILLS = int(os.environ.get("DITTA_KILLS", "2"))
VIDEOS, FRAMES, SIZE = 3, 6, (32, 48)
CONFIG = """
from ditta_jax.configuration import default_config

def get_config():
    config = default_config()
    config.name, config.output = "run", "{output}"
    config.student.checkpoint = "{folder}/student"
    config.data.update(kind="folder", path="{folder}/videos")
    config.input.scale = (48, 48)
    config.warmup.percent = 50.0
    config.tta.iters = 2
    config.metrics.windows = (2,)
    config.teacher.update(config="flow", threshold_first=0.0, threshold_later=0.0)
    config.teacher.update(max_objects=4, threads=1)
    config.report.overlays = 1
    return config
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny student, and videos of a square that moves over noise."""
    folder = tmp_path_factory.mktemp("kills")
    sizes = SegFormerConfig(
        3, (4, 4, 8, 8), (1, 1, 1, 1), (1, 1, 1, 1), (8, 4, 2, 1), 1, embed_dim=8, radius=2
    )
    card = checkpoint.StudentCard(sizes, ("a", "b", "c"), ((9, 0, 0), (0, 9, 0), (0, 0, 9)), {})
    checkpoint.save(folder / "student", new_student(sizes), card)
    for v in range(VIDEOS):
        noise = np.random.default_rng(v).integers(0, 90, (*SIZE, 3)).astype(np.uint8)
        for kind in ("origin", "mask"):
            (folder / "videos" / f"street_{v}" / kind).mkdir(parents=True)
        for t in range(FRAMES):
            frame, mask = noise.copy(), np.zeros(SIZE, np.uint8)
            frame[8:24, 4 + 3 * t : 20 + 3 * t] += 120
            mask[8:24, 4 + 3 * t : 20 + 3 * t] = 1 + v % 2
            place = folder / "videos" / f"street_{v}"
            Image.fromarray(frame).save(place / "origin" / f"{t}.png")
            Image.fromarray(mask).save(place / "mask" / f"{t}.png")
    return folder


class Run:
    """One `python -m ditta_jax.adapt`, whose lines are told as they come."""

    def __init__(self, folder, output):
        settings = folder / f"{output.name}.py"
        settings.write_text(CONFIG.format(folder=folder, output=output))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ditta_jax.adapt", "--config", str(settings)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
            env=os.environ | {"XLA_FLAGS": "", "PYTHONUNBUFFERED": "1"},
        )
        self.lines = []

    def listen(self, count=10**9):
        """Reads up to so many more lines; returns whether there may be others."""
        if self.process.stderr.closed:
            return False
        for line in self.process.stderr:
            self.lines.append(line)
            count -= 1
            if count <= 0:
                return True
        return False

    def end(self):
        with self.process:
            self.listen()
        return self.process.returncode

    def teacher(self):
        """The process id of its teacher; None if it ends without one."""
        pid = self.process.pid
        while self.process.poll() is None:
            with open(f"/proc/{pid}/task/{pid}/children") as file:
                for child in map(int, file.read().split()):
                    if b"teacher_bridge" in Path(f"/proc/{child}/cmdline").read_bytes():
                        return child
            time.sleep(0.01)
        return None


def content(output):
    """All that a run is to give, without times and places."""
    run = output / "run"
    result = json.loads((run / "result.json").read_text())
    scores = {
        name: {score: own[score] for score in ("mIoU", "wIoU", "mVC2", "class_iou")}
        for name, own in result["methods"].items()
    }
    kept = ("name", "size", "frames", "warmup", "scored", "scores")
    videos = [{key: video[key] for key in kept} for video in result["videos"]]
    files = [p for p in run.rglob("*.png") if "earlier-" not in str(p.relative_to(run))]
    pictures = {p.relative_to(run).as_posix(): p.read_bytes() for p in files}
    losses = (run / "losses.jsonl").read_text()
    return scores, videos, losses, pictures


def kill_adapt(run, lines, chance):
    """After one of its lines, or shortly after."""
    if not run.listen(chance.randint(1, lines)):
        return False
    time.sleep(chance.random() * 0.3)
    run.process.kill()
    return run.end() == -signal.SIGKILL


def kill_teacher(run, chance):
    child = run.teacher()
    if child is None:
        return False
    time.sleep(chance.random())
    try:
        os.kill(child, signal.SIGKILL)
    except ProcessLookupError:
        return False
    run.end()
    return True


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the teacher in /proc")
@pytest.mark.robustness(
    "Run folders", "adapt and its teacher killed at random moments", "the results are the same"
)
def test_random_kills_end_in_the_results_of_an_undisturbed_run(folder, tmp_path):
    undisturbed = Run(folder, tmp_path / "undisturbed")
    assert undisturbed.end() == 0, "".join(undisturbed.lines)
    expected = content(tmp_path / "undisturbed")
    assert all(video["scores"] for video in expected[1]) and len(expected[3]) >= VIDEOS * 4

    chance, killed, attempt = random.Random(KILLS), 0, 0
    while killed < KILLS:
        output = tmp_path / f"killed_{attempt}"
        run = Run(folder, output)
        if killed % 2:
            struck = kill_teacher(run, chance)
        else:
            struck = kill_adapt(run, len(undisturbed.lines), chance)
        killed += struck
        if not struck or run.process.returncode == 0:  # whole before it was struck, or in spite
            assert run.end() == 0, "".join(run.lines)
            assert content(output) == expected
            attempt += 1
    last = Run(folder, output := tmp_path / f"killed_{attempt}")
    assert last.end() == 0, "".join(last.lines)
    assert content(output) == expected
    leftovers = [p for p in output.rglob("*") if p.name.endswith((".partial", ".room"))]
    assert not [p for p in leftovers if "teacher_cache" not in str(p)], leftovers

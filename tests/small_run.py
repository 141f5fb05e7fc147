"""A tiny student and videos of a moving square, for tests that start whole runs as processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from ditta_jax.students import checkpoint
from ditta_jax.students.segformer.config import SegFormerConfig
from ditta_jax.students.student import new_student

REPOSITORY = Path(__file__).resolve().parent.parent
FRAMES, SIZE = 6, (32, 48)
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


def make(folder, videos):
    """Write the student and so many videos of a square that moves over noise."""
    sizes = SegFormerConfig(
        3, (4, 4, 8, 8), (1, 1, 1, 1), (1, 1, 1, 1), (8, 4, 2, 1), 1, embed_dim=8, radius=2
    )
    card = checkpoint.StudentCard(sizes, ("a", "b", "c"), ((9, 0, 0), (0, 9, 0), (0, 0, 9)), {})
    checkpoint.save(folder / "student", new_student(sizes), card)
    for v in range(videos):
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


class Run:
    """One `python -m ditta_jax.adapt`, whose lines are told as they come."""

    def __init__(self, folder, output, *words):
        settings = folder / f"{output.name}.py"
        settings.write_text(CONFIG.format(folder=folder, output=output))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ditta_jax.adapt", "--config", str(settings), *words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
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

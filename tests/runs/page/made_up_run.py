"""A run's folder without a run: small moving shapes, and methods that are wrong here and there."""

import json

import numpy as np

from ditta_jax.files import seal
from ditta_jax.metrics.scores import VideoScores
from ditta_jax.names import file_name
from ditta_jax.runs.page.film import Film
from ditta_jax.runs.results import without_nan
from ditta_jax.runs.timeline import overlap
from ditta_jax.teacher import mask_rle
from ditta_jax.teacher.records import Masklets

CLASSES = ("road", "car", "sky </script><b>")
PALETTE = ((120, 70, 120), (40, 60, 200), (110, 170, 220))
SIZE = (48, 80)
WARM_UP, FRAMES = 4, 20
WRONG = {"frozen": 0.25, "ditta": 0.08}
TITLES = {"frozen": "frozen student", "ditta": "DiTTA"}


def truth_at(t):
    """A road, a sky, and a car that drives to the right; the last row is not labelled."""
    label = np.zeros(SIZE, np.uint8)
    label[:20] = 2
    label[22:40, 2 * t : 2 * t + 24] = 1
    label[-1] = 255
    return label


def frame_at(t):
    colours = np.array([*PALETTE, *[(0, 0, 0)] * 253], np.float32)
    texture = np.random.default_rng(7).integers(0, 40, (*SIZE, 1))
    return np.clip(colours[truth_at(t)] * 0.7 + texture + 30, 0, 255).astype(np.uint8)


def labels_at(t, method):
    """The truth with blocks of it replaced by the next class."""
    rng = np.random.default_rng((t, len(method)))
    wrong = rng.random((SIZE[0] // 8, SIZE[1] // 8)) < WRONG[method]
    wrong = np.kron(wrong, np.ones((8, 8), bool))
    label = np.where(truth_at(t) == 255, 0, truth_at(t))
    return np.where(wrong, (label + 1) % len(CLASSES), label).astype(np.uint8)


def timeline_of(number):
    """Two seconds of student a video; the teacher works during the first of them.

    It starts within the first half second, before the first video.
    """
    at = 2.0 * number
    student = [["A", at, at + 0.5], ["C", at + 0.5, at + 1.5], ["D", at + 1.5, at + 2.0]]
    if number == 0:
        return {"started": 1e9, "student": student, "teacher": [[0.5, 1.0]], "loading": [[0, 0.5]]}
    return {"started": 1e9, "student": student, "teacher": [[at, at + 1.0]]}


def write_run(folder, videos=("left", "right"), labelled=True, lr=1e-3, methods=tuple(WRONG)):
    """Writes what a finished run leaves; returns its folder."""
    told, totals = [], {}
    for video in videos:
        counts = {m: VideoScores(len(CLASSES)) for m in methods}
        film = Film(video, SIZE, CLASSES, PALETTE, (WARM_UP, FRAMES), pictures=10)
        masks = [(1, mask_rle.encode(truth_at(t) == 1)) for t in range(WARM_UP)]
        click = {"frame": 0, "object_id": 1, "y": 30, "x": 10, "class_id": 1, "reliability": 0.97}
        masklets = Masklets(
            SIZE, (1,), tuple((m,) for m in masks), np.zeros(3), {"prompts": [click]}
        )
        student = np.stack([labels_at(t, "frozen") for t in range(WARM_UP)])
        film.warm_up(frame_at, student, np.full((WARM_UP, *SIZE), 0.9), masklets, np.array([1]))
        for t in range(WARM_UP, FRAMES):
            labels = {m: labels_at(t, m) for m in methods}
            film.frame(t, frame_at(t), labels, truth_at(t) if labelled else None)
            for method, count in counts.items():
                count.update(labels[method], truth_at(t))
        film.write(folder / "film" / f"{file_name(video)}.json")
        scores = {m: count.finish() for m, count in counts.items()} if labelled else {}
        record = {"name": video, "scores": {m: s.to_json() for m, s in scores.items()}}
        (folder / "videos").mkdir(parents=True, exist_ok=True)
        (folder / "videos" / f"{file_name(video)}.json").write_bytes(seal(record))
        told.append(
            {
                "name": video,
                "size": list(SIZE),
                "frames": FRAMES,
                "warmup": WARM_UP,
                "scored": FRAMES - WARM_UP,
                "seconds": {"A": 0.5, "B": 0.1, "C": 3.0, "D": 1.5},
                "scores": {m: s.result() for m, s in scores.items()},
                "details": {"objects": 1, "teacher_seconds": 1.25},
                "timeline": timeline_of(len(told)),
            }
        )
        for method, own in scores.items():
            totals[method] = totals[method] + own if method in totals else own
    names = {
        m: {
            "title": TITLES[m],
            "kept_frozen": {videos[-1]: "no object"} if m == "ditta" else {},
            "frames_per_second": 30.0,
            "preparation_seconds": 3.0 if m == "ditta" else 0.0,
            **(totals[m].result() if labelled else {}),
            **({"class_iou": dict(zip(CLASSES, totals[m].class_iou().tolist(), strict=True))}),
        }
        if labelled
        else {"title": TITLES[m]}
        for m in methods
    }
    result = {
        "methods": names,
        "videos": told,
        "overlap": overlap([video["timeline"] for video in told]),
        "failed": {"dark": "dark: frame 3 does not decode; copy it again"},
        "environment": {"devices": "1 x cpu", "cores": 2, "python": "3.11", "packages": {}},
        "config": {"name": folder.name, "tta": {"lr": lr}, "student": {"checkpoint": "embedded"}},
    }
    (folder / "result.json").write_text(json.dumps(without_nan(result)))
    rows = [
        {"video": v, "pass": 0, "frame": t, "total": 2.0 / (t + 1), "contrast": None if t else 1.0}
        for v in videos
        for t in range(WARM_UP)
    ]
    (folder / "losses.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder

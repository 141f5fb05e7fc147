"""Scores of a nano SAM 2 on held-out procedural clips and on real DAVIS clips, as tables."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from teacher_bridge.nano.training.clips import (
    HELD_OUT_SEED,
    NO_OBJECT,
    Clip,
    Where,
    click_in,
    make_clip,
)
from teacher_bridge.nano.training.drive_clips import make_drive_clip
from teacher_bridge.nano.training.tracking import overlap, track

PROMPTED_AREA = 150  # pixels an object shows in frame 0 to be prompted
SCORED_AREA = 60  # pixels it shows in a later frame to be scored there
DAVIS_LATER = 12  # frames after the prompt


class Score(NamedTuple):
    """One object in one frame; areas in pixels."""

    is_region: bool
    frame: int
    area: int
    predicted_area: int
    iou: float


def score_clip(predictor: torch.nn.Module, clip: Clip, where: Where, seed: int) -> list[Score]:
    """Click on every large enough element of frame 0 and score all frames."""
    rng = np.random.default_rng(seed)
    labels, areas = np.unique(clip.labels[0], return_counts=True)
    chosen = [int(label) for label in labels[(areas >= PROMPTED_AREA) & (labels != NO_OBJECT)]]
    clicks = {label: click_in(clip.labels[0] == label, rng, where) for label in chosen}
    found = track(predictor, clip.frames, clicks=clicks)
    return [
        Score(
            is_region=label < clip.region_count,
            frame=t,
            area=int((clip.labels[t] == label).sum()),
            predicted_area=int(found[label][t].sum()),
            iou=overlap(found[label][t], clip.labels[t] == label),
        )
        for label in chosen
        for t in range(len(clip.frames))
    ]


def print_held_out(
    predictor: torch.nn.Module, clips: int, frames: int, where: Where, streets: bool = False
) -> None:
    """Print mean IoU over objects by frame, and how absence is told.

    `streets`: on the demo's streets (`drive_clips`) instead of the trainer's own clips.
    """
    make = make_drive_clip if streets else make_clip
    scores: list[Score] = []
    seconds = 0.0
    for index in range(clips):
        clip = make(HELD_OUT_SEED + index, frames)
        started = time.monotonic()
        scores += score_clip(predictor, clip, where, index)
        seconds += time.monotonic() - started
    last = frames - 1
    shown = sorted({0, *range(4, last, 4), last})
    kind = " of streets" if streets else ""
    print(f"{clips} held-out clips{kind}, one {where} click an object; mean IoU where visible")
    print("| | objects |" + "".join(f" frame {t} |" for t in shown))
    print("|---|---|" + "---|" * len(shown))
    for name, kinds in (("figures", (False,)), ("regions", (True,)), ("all", (False, True))):
        rows = [s for s in scores if s.is_region in kinds]
        count = sum(s.frame == 0 for s in rows)
        means = [mean_iou([s for s in rows if s.frame == t]) for t in shown]
        print(f"| {name} | {count} |" + "".join(f" {m:.3f} |" for m in means))
    absent = [s.predicted_area == 0 for s in scores if s.area == 0]
    missed = [s.predicted_area == 0 for s in scores if s.area >= SCORED_AREA]
    print(f"absent ({len(absent)} object frames): {_percent(absent)} come out empty")
    print(f"visible ({len(missed)} object frames): {_percent(missed)} come out empty")
    print(f"{seconds / (clips * frames):.3f} s a frame, all its objects")


def mean_iou(scores: list[Score]) -> float:
    """Mean over the objects that show enough pixels; nan where none does."""
    values = [s.iou for s in scores if s.area >= SCORED_AREA]
    return float(np.mean(values)) if values else float("nan")


def _percent(values: list[bool]) -> str:
    return f"{100 * float(np.mean(values)):.1f} %" if values else "none"


def print_davis(predictor: torch.nn.Module, folder: Path) -> None:
    """Print per sequence the mean IoU at frame 0 and 12 frames on, from click and from mask."""
    images, annotations = (_resolution(folder / name) for name in ("JPEGImages", "Annotations"))
    sequences = sorted(p.name for p in images.iterdir() if (annotations / p.name).is_dir())
    if not sequences:
        raise SystemExit(f"{folder}: no DAVIS sequence with images and annotations")
    print(f"DAVIS, {len(sequences)} sequences; mean IoU over a sequence's objects")
    print(f"| sequence | click, frame 0 | click, frame {DAVIS_LATER} | mask, frame {DAVIS_LATER} |")
    print("|---|---|---|---|")
    rows = []
    for name in sequences:
        rows.append(score_davis(predictor, images / name, annotations / name))
        print(f"| {name} |" + "".join(f" {value:.3f} |" for value in rows[-1]))
    print("| mean |" + "".join(f" {value:.3f} |" for value in np.mean(rows, axis=0)))


def _resolution(folder: Path) -> Path:
    if not folder.is_dir():
        raise SystemExit(
            f"{folder}: no such folder; --davis wants JPEGImages and Annotations in it"
        )
    return folder / "480p" if (folder / "480p").is_dir() else folder


def score_davis(
    predictor: torch.nn.Module, images: Path, annotations: Path
) -> tuple[float, float, float]:
    """Return the mean IoU of (click at 0, click 12 later, mask 12 later) over the objects."""
    pairs = [(i, annotations / f"{i.stem}.png") for i in sorted(images.glob("*.jpg"))]
    pairs = pairs[: DAVIS_LATER + 1]
    if len(pairs) <= DAVIS_LATER or not (pairs[0][1].is_file() and pairs[-1][1].is_file()):
        raise SystemExit(f"{images}: needs {DAVIS_LATER + 1} frames, the first and last annotated")
    frames = np.stack([_read_rgb(path) for path, _ in pairs])
    first, last = (_read_labels(path) for _, path in (pairs[0], pairs[-1]))
    names = [int(name) for name in np.unique(first) if name != 0]
    if len(names) > 1:  # 255 marks what is not scored, unless it is the only object
        names = [name for name in names if name != 255]
    if not names:
        raise SystemExit(f"{pairs[0][1]}: shows no object")
    rng = np.random.default_rng(0)
    clicks = {name: click_in(first == name, rng, "centre") for name in names}
    clicked = track(predictor, frames, clicks=clicks)
    masked = track(predictor, frames, masks={name: first == name for name in names})
    columns = [
        [overlap(clicked[name][0], first == name) for name in names],
        [overlap(clicked[name][-1], last == name) for name in names],
        [overlap(masked[name][-1], last == name) for name in names],
    ]
    click, later, mask = (float(np.mean(column)) for column in columns)
    return click, later, mask


def _read_rgb(path: Path) -> NDArray[np.uint8]:
    image = cv2.imread(str(path))
    if image is None:
        raise SystemExit(f"{path}: cannot be read as an image")
    return image[..., ::-1].astype(np.uint8)


def _read_labels(path: Path) -> NDArray[np.uint8]:
    """Read a palette PNG as its indices: uint8 [H, W]."""
    from PIL import Image

    return np.array(Image.open(path))

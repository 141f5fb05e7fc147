"""Training clips from the demo's procedural streets: other streets than those of the data set."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from ditta_jax.data.procedural.drive import LENGTH, SIZE
from ditta_jax.data.procedural.ground import make_ground
from ditta_jax.data.procedural.render import Picture, render
from ditta_jax.data.procedural.scene import make_scene
from ditta_jax.data.procedural.shift import apply_shift, draw_shift
from teacher_bridge.nano.training.clips import FRAME_SIZE, LEAST_AREA, NO_OBJECT, Clip
from teacher_bridge.nano.training.scenes import connected_parts

DRIVE_SEED = 21  # first number of every seed; the data set's splits have others


def make_drive_clip(seed: int, length: int, size: int = FRAME_SIZE) -> Clip:
    """Return `length` frames of the street of this seed, squeezed into the square input.

    Its objects are what frame 0 shows at least `LEAST_AREA` pixels of: every thing, and every
    connected part of sky, skyline and ground; all else has the label `NO_OBJECT`.
    """
    cv2.setNumThreads(1)
    rng = np.random.default_rng([DRIVE_SEED, seed, length])
    scene = make_scene(rng, SIZE[1], SIZE[0])
    ground = make_ground(rng)
    shift = draw_shift(rng, rng.uniform(0, 1))
    stride = int(rng.integers(1, 3))
    start = int(rng.integers(LENGTH - (length - 1) * stride))
    pictures = [render(scene, ground, float(start + stride * t), SIZE) for t in range(length)]
    frames = [apply_shift(p.frame, p.depth, shift, rng) for p in pictures]
    labels, region_count = _objects(pictures)
    square = (size, size)
    return Clip(
        np.stack([cv2.resize(f, square, interpolation=cv2.INTER_AREA) for f in frames]),
        np.stack([cv2.resize(k, square, interpolation=cv2.INTER_NEAREST) for k in labels]),
        region_count,
    )


def _objects(pictures: list[Picture]) -> tuple[list[NDArray[np.uint8]], int]:
    """Labels per frame, and the count of regions, whose labels come first."""
    classes = [np.where(p.thing == 0, p.label, NO_OBJECT) for p in pictures]
    parts = [_large(_parts(classes[0]))]
    for before, now in pairwise(classes):
        parts.append(_follow(parts[-1], before, now))
    region_count = len(np.unique(parts[0][parts[0] != NO_OBJECT]))
    numbers, areas = np.unique(pictures[0].thing, return_counts=True)
    things = numbers[(numbers > 0) & (areas >= LEAST_AREA)][: NO_OBJECT - region_count]
    for part, picture in zip(parts, pictures, strict=True):
        for index, number in enumerate(things):
            part[picture.thing == number] = region_count + index
    return parts, region_count


def _parts(classes: NDArray) -> list[NDArray[np.bool_]]:
    """The connected parts of every class but `NO_OBJECT`."""
    return [part for part in connected_parts(classes) if classes[part][0] != NO_OBJECT]


def _large(parts: list[NDArray[np.bool_]]) -> NDArray[np.uint8]:
    labels = np.full(parts[0].shape, NO_OBJECT, np.uint8)
    large = [part for part in parts if part.sum() >= LEAST_AREA]
    for index, part in enumerate(large[: NO_OBJECT // 2]):
        labels[part] = index
    return labels


def _follow(labelled: NDArray[np.uint8], before: NDArray, now: NDArray) -> NDArray[np.uint8]:
    """Give every part the label that most of it had while it was of the same class before."""
    labels = np.full(now.shape, NO_OBJECT, np.uint8)
    for part in _parts(now):
        known = labelled[part & (before == now[part][0])]
        known = known[known != NO_OBJECT]
        if len(known):
            labels[part] = np.bincount(known).argmax()
    return labels

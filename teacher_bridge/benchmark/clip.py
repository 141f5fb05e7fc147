"""The benchmark's clip and its prompts: made up, the same every time."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from ditta_jax.teacher.cache import Entry, Request
from teacher_bridge.search.prompts import Click

_ARRIVALS_EVERY = 3  # frames


def arrivals(frames: int, objects: int, size: tuple[int, int]) -> list[Click]:
    """Return one prompt an object: pixels drawn at random, spread evenly over every third frame.

    So the state is reset as often as a scene with arrivals has it.
    """
    random = np.random.default_rng(0)
    when = range(0, frames, _ARRIVALS_EVERY)
    clicks: list[Click] = []
    for i in range(objects):
        y, x = (int(random.integers(side)) for side in size)
        clicks.append(Click(when[i * len(when) // objects], i + 1, y, x, 0, 1.0))
    return clicks


def clip_entry(folder: Path, frames: int, size: tuple[int, int]) -> Entry:
    """Write a clip of moving blocks as PNGs; return an entry without request file."""
    from PIL import Image

    files = tuple(folder / f"{t}.png" for t in range(frames))
    for t, file in enumerate(files):
        Image.fromarray(moving_blocks(t, size)).save(file)
    digests = tuple(hashlib.sha256(file.read_bytes()).hexdigest() for file in files)
    request = Request("benchmark", tuple(map(str, range(frames))), size, 1, ((),) * frames)
    return Entry(folder, "", request, files, digests)


def moving_blocks(t: int, size: tuple[int, int]) -> UInt8[np.ndarray, "H W 3"]:
    """Return frame t of a clip: coloured blocks that shift by a few pixels a frame."""
    colours = np.random.default_rng(1).integers(0, 256, (8, 12, 3), np.uint8)
    rows = (np.arange(size[0]) + t) * 8 // size[0] % 8
    columns = (np.arange(size[1]) + 3 * t) * 12 // size[1] % 12
    return colours[rows[:, None], columns[None]]

"""Multi-scale tileable noise, computed once and cropped for every texture."""

from __future__ import annotations

import functools

import cv2
import numpy as np

SIDE = 512
# Cell sizes (rows, columns) in pixels of the octaves of each family.
FAMILIES: dict[str, tuple[tuple[int, int], ...]] = {
    "fine": ((1, 1), (2, 2), (4, 4), (16, 16)),
    "medium": ((2, 2), (8, 8), (16, 16), (32, 32)),
    "coarse": ((16, 16), (32, 32), (64, 64), (128, 128)),
    "streaks": ((32, 1), (64, 2), (16, 4)),
    "leaves": ((3, 3), (6, 6), (12, 12), (24, 24)),
}


def _octave(generator: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Value noise with cells of the given size which wraps around at the border."""
    grid = generator.standard_normal((SIDE // rows, SIDE // columns)).astype(np.float32)
    pad = 4
    grid = np.pad(grid, pad, mode="wrap")
    size = (grid.shape[1] * columns, grid.shape[0] * rows)
    smooth = cv2.resize(grid, size, interpolation=cv2.INTER_CUBIC)
    return smooth[pad * rows : pad * rows + SIDE, pad * columns : pad * columns + SIDE]


@functools.cache
def noise(family: str) -> np.ndarray:
    """Tileable noise of a family.

    Returns:
        Float32["512 512"], zero mean, clipped to [-1, 1] (2.5 standard deviations).
    """
    generator = np.random.default_rng([20260410, sorted(FAMILIES).index(family)])
    total = np.zeros((SIDE, SIDE), np.float32)
    for strength, (rows, columns) in enumerate(FAMILIES[family], start=2):
        total += np.float32(np.sqrt(strength)) * _octave(generator, rows, columns)
    total -= total.mean()
    total /= 2.5 * total.std()
    total = np.clip(total, -1, 1)
    total.setflags(write=False)
    return total


def crop(generator: np.random.Generator, family: str, height: int, width: int) -> np.ndarray:
    """A random window of a family's noise: Float32["height width"], sides at most 512."""
    y = int(generator.integers(0, SIDE - height + 1))
    x = int(generator.integers(0, SIDE - width + 1))
    return noise(family)[y : y + height, x : x + width]

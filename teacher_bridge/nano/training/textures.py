"""Textures of the training clips: procedural patterns and crops of freely licensed photographs."""

from __future__ import annotations

import functools
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]

# In scikit-image's wheel (nothing is downloaded), public domain or CC0.
PHOTOGRAPHS = ("astronaut", "coffee", "chelsea", "rocket", "brick", "grass", "gravel")
PHOTOGRAPH_SHARE = 0.35


@functools.lru_cache(maxsize=1)
def photographs() -> dict[str, NDArray[np.uint8]]:
    """Return the photographs by name: uint8 [H, W, 3]."""
    try:
        from skimage import data
    except ImportError:
        raise SystemExit(
            "the clip generator needs scikit-image: pip install scikit-image"
        ) from None
    images = {name: getattr(data, name)() for name in PHOTOGRAPHS}
    return {
        name: np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image
        for name, image in images.items()
    }


def smooth_noise(rng: np.random.Generator, size: int, cells: int) -> Image:
    """Return value noise with `cells` cells a side: float32 [size, size], about 0..1."""
    grid = rng.random((cells, cells), dtype=np.float32)
    return cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC)


def texture(
    rng: np.random.Generator,
    size: int,
    colour: tuple[float, float, float] | None = None,
    contrast: float | None = None,
) -> Image:
    """Return a random texture: float32 [size, size, 3] in 0..255.

    Args:
        rng: source of all chance.
        size: pixels a side.
        colour: mean colour, 0..255; None draws one.
        contrast: standard size of its deviations, in grey levels; None draws one.
    """
    mean = np.asarray(rng.uniform(15, 240, 3) if colour is None else colour, np.float32)
    strength = float(rng.uniform(6, 55) if contrast is None else contrast)
    if rng.random() < PHOTOGRAPH_SHARE:
        surface = _photograph_crop(rng, size, mean, strength)
    else:
        pattern = PATTERNS[rng.integers(len(PATTERNS))](rng, size)
        other = np.clip(mean + rng.normal(0, strength, 3), 0, 255).astype(np.float32)
        surface = mean + np.clip(pattern, 0, 1)[..., None] * (other - mean)
    if rng.random() < 0.5:
        surface = surface * _shading(rng, size)[..., None]
    return np.clip(surface, 0, 255).astype(np.float32)


def _photograph_crop(
    rng: np.random.Generator, size: int, mean: NDArray[np.float32], strength: float
) -> Image:
    names = list(photographs())
    image = photographs()[names[rng.integers(len(names))]]
    side = int(rng.integers(40, min(image.shape[:2])))
    top = int(rng.integers(image.shape[0] - side + 1))
    left = int(rng.integers(image.shape[1] - side + 1))
    crop = image[top : top + side, left : left + side, rng.permutation(3)]
    crop = cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32)
    if rng.random() < 0.2:
        return crop
    deviation = crop - crop.mean((0, 1))
    return mean + deviation * (strength / max(float(deviation.std()), 1.0))


def _shading(rng: np.random.Generator, size: int) -> Image:
    """Return a linear change of brightness: float32 [size, size] around 1."""
    return 1 + np.float32(rng.uniform(0, 0.6)) * _ramp(rng, size)


def _ramp(rng: np.random.Generator, size: int) -> Image:
    """Return a plane of unit slope in a random direction, 0 in the centre."""
    angle = rng.uniform(0, 2 * np.pi)
    line = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    return np.float32(np.cos(angle)) * line[None, :] + np.float32(np.sin(angle)) * line[:, None]


def _clouds(rng: np.random.Generator, size: int) -> Image:
    return smooth_noise(rng, size, int(rng.integers(3, 12)))


def _octaves(rng: np.random.Generator, size: int) -> Image:
    coarse = smooth_noise(rng, size, int(rng.integers(3, 8)))
    return 0.6 * coarse + 0.4 * smooth_noise(rng, size, int(rng.integers(16, 64)))


def _gradient(rng: np.random.Generator, size: int) -> Image:
    return 0.5 + 0.7 * _ramp(rng, size)


def _stripes(rng: np.random.Generator, size: int) -> Image:
    wave = np.sin(2 * np.pi * rng.uniform(4, 20) * _ramp(rng, size) + rng.uniform(0, 6))
    hard = rng.random() < 0.5
    return (wave > 0).astype(np.float32) if hard else (0.5 + 0.5 * wave).astype(np.float32)


def _checks(rng: np.random.Generator, size: int) -> Image:
    cell = np.arange(size) * int(rng.integers(4, 14)) // size
    return ((cell[:, None] + cell[None, :]) % 2).astype(np.float32)


def _grain(rng: np.random.Generator, size: int) -> Image:
    return 0.5 * smooth_noise(rng, size, int(rng.integers(24, 64)))


PATTERNS: tuple[Callable[[np.random.Generator, int], Image], ...] = (
    _clouds,
    _octaves,
    _gradient,
    _stripes,
    _checks,
    _grain,
)

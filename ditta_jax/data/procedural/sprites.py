"""What the drawings of things are made of: textured surfaces, outlines, colours."""

from __future__ import annotations

import cv2
import numpy as np

from ditta_jax.data.procedural.noise import crop

_SHIFT = 3  # cv2 polygons take fixed-point coordinates with this many fractional bits


def polygon(image: np.ndarray, points, colour) -> None:
    """Fill a polygon of (x, y) points at sub-pixel precision, antialiased, in place."""
    corners = np.round(np.asarray(points, np.float64) * (1 << _SHIFT)).astype(np.int32)
    cv2.fillPoly(image, [corners], colour, lineType=cv2.LINE_AA, shift=_SHIFT)


def draw_colour(generator: np.random.Generator, low, high) -> np.ndarray:
    """A colour between two: Float32["3"]."""
    return generator.uniform(low, high, 3).astype(np.float32)


def surface(generator: np.random.Generator, height: int, width: int, colour, layers) -> np.ndarray:
    """A textured rectangle.

    Args:
        generator: source of the noise windows.
        height: rows, at most 512.
        width: columns, at most 512.
        colour: mean RGB, 0..255.
        layers: pairs (noise family, relative amplitude).

    Returns:
        UInt8["height width 3"].
    """
    light = np.ones((height, width), np.float32)
    for family, amplitude in layers:
        cv2.scaleAdd(crop(generator, family, height, width), amplitude, light, light)
    tint = np.float32(0.06) * crop(generator, "medium", height, width)
    np.maximum(light, 0, out=light)
    red, green, blue = (float(c) for c in colour)
    return cv2.merge(
        [
            cv2.convertScaleAbs(light * (1 + tint), alpha=red),
            cv2.convertScaleAbs(light, alpha=green),
            cv2.convertScaleAbs(light * (1 - tint), alpha=blue),
        ]
    )


def shaded(rgb: np.ndarray, top: float, bottom: float) -> np.ndarray:
    """The colours times a gain that goes from `top` to `bottom` down the rows."""
    rows, columns = rgb.shape[:2]
    fade = np.linspace(top, bottom, rows, dtype=np.float32)[:, None]
    gains = np.broadcast_to(fade, (rows, columns * 3)).reshape(rows, columns, 3)
    return cv2.multiply(rgb, np.ascontiguousarray(gains), dtype=cv2.CV_8U)


def with_alpha(rgb: np.ndarray, alpha: np.ndarray | None = None) -> np.ndarray:
    """Join colour and coverage (uint8; None = opaque). Colour goes on where coverage is 0."""
    if alpha is None:
        alpha = np.full(rgb.shape[:2], 255, np.uint8)
    return cv2.merge([*cv2.split(rgb), alpha])


PAINTS = np.array(
    [
        (170, 30, 30), (30, 55, 125), (220, 220, 220), (35, 35, 38), (140, 142, 145),
        (90, 95, 100), (190, 160, 60), (40, 90, 60), (120, 70, 50), (180, 195, 205),
    ],
    np.float32,
)  # fmt: skip


def paint(generator: np.random.Generator) -> np.ndarray:
    """A vehicle's colour, RGB 0..255."""
    return np.clip(
        PAINTS[generator.integers(0, len(PAINTS))] + generator.uniform(-20, 20, 3), 5, 250
    )

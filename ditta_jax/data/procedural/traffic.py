"""Things that move: cars, trucks, buses, people.

Every function draws one individual: RGBA uint8 with straight alpha, top row first; its look follows
from the generator alone. Colour ranges of classes overlap on purpose
(bus and building, truck and car), so that a change of light makes a
segmenter confuse whole regions.
"""

from __future__ import annotations

import cv2
import numpy as np

from ditta_jax.data.procedural.sprites import (
    draw_colour,
    paint,
    polygon,
    shaded,
    surface,
    with_alpha,
)


def _body(generator, rows, columns, colour) -> np.ndarray:
    rgb = surface(generator, rows, columns, colour, (("medium", 0.06), ("coarse", 0.18)))
    return shaded(rgb, 1.18, 0.72)


def car_end(generator, colour: np.ndarray, front: bool) -> np.ndarray:
    """A car seen from the front or the back, 1.8 m by 1.5 m."""
    rows, columns = 72, 88
    rgb = _body(generator, rows, columns, colour)
    glass = draw_colour(generator, (25, 35, 45), (80, 100, 115)).tolist()
    polygon(rgb, [(14, 28), (22, 6), (66, 6), (74, 28)], glass)
    lamps = (235, 235, 215) if front else (170, 20, 20)
    cv2.rectangle(rgb, (4, 34), (18, 42), lamps, -1)
    cv2.rectangle(rgb, (69, 34), (83, 42), lamps, -1)
    cv2.rectangle(rgb, (32, 44), (56, 51), (215, 215, 205), -1)
    cv2.rectangle(rgb, (0, 58), (88, 72), (28, 28, 30), -1)
    alpha = np.zeros((rows, columns), np.uint8)
    polygon(
        alpha, [(2, 62), (1, 32), (10, 26), (19, 2), (69, 2), (78, 26), (87, 32), (86, 62)], 255
    )
    cv2.rectangle(alpha, (6, 60), (20, 71), 255, -1)
    cv2.rectangle(alpha, (68, 60), (82, 71), 255, -1)
    cv2.rectangle(alpha, (20, 58), (68, 66), 255, -1)
    return with_alpha(rgb, alpha)


def car_side(generator, colour: np.ndarray) -> np.ndarray:
    """A car seen from its left with its nose at the left, 4.3 m by 1.5 m."""
    rows, columns = 72, 192
    rgb = _body(generator, rows, columns, colour)
    glass = draw_colour(generator, (25, 35, 45), (80, 100, 115)).tolist()
    nose = generator.uniform(40, 60)
    polygon(rgb, [(nose + 8, 28), (nose + 30, 7), (108, 7), (108, 28)], glass)
    polygon(rgb, [(113, 28), (113, 7), (168, 7), (178, 28)], glass)
    cv2.line(rgb, (110, 30), (110, 56), (colour * 0.6).tolist(), 1)
    alpha = np.zeros((rows, columns), np.uint8)
    roof = [(2, 60), (4, 36), (nose, 30), (nose + 28, 2), (178, 2), (189, 30), (190, 60)]
    polygon(alpha, roof, 255)
    for centre in (36, 152):
        cv2.circle(alpha, (centre, 58), 13, 255, -1, cv2.LINE_AA)
        cv2.circle(rgb, (centre, 58), 14, (24, 24, 26), -1, cv2.LINE_AA)
        cv2.circle(rgb, (centre, 58), 7, (130, 130, 130), -1, cv2.LINE_AA)
    return with_alpha(rgb, alpha)


def truck_end(generator: np.random.Generator, colour: np.ndarray, bus: bool) -> np.ndarray:
    """Front or back of a bus or a box truck, 2.5 m by 3.2 m."""
    end = _body(generator, 128, 100, colour)
    glass = draw_colour(generator, (25, 35, 45), (90, 110, 125)).tolist()
    if bus:
        cv2.rectangle(end, (8, 16), (92, 62), glass, -1)
    else:
        cv2.line(end, (50, 0), (50, 104), (colour * 0.55).tolist(), 2)
    cv2.rectangle(end, (0, 108), (100, 128), (30, 30, 32), -1)
    cv2.rectangle(end, (4, 96), (16, 104), (190, 30, 25), -1)
    cv2.rectangle(end, (84, 96), (96, 104), (190, 30, 25), -1)
    return with_alpha(end, _chassis(100, (12, 88)))


def truck_side(generator: np.random.Generator, colour: np.ndarray, bus: bool) -> np.ndarray:
    """Side of a bus or a box truck with its nose at the left, 9 m by 3.2 m."""
    side = _body(generator, 128, 360, colour)
    glass = draw_colour(generator, (25, 35, 45), (90, 110, 125)).tolist()
    stripe = paint(generator).tolist()
    if bus:
        for left in range(8, 340, 38):
            cv2.rectangle(side, (left, 22), (left + 32, 62), glass, -1)
        cv2.rectangle(side, (0, 72), (360, 80), stripe, -1)
    else:
        cv2.rectangle(side, (0, 0), (88, 26), (90, 90, 92), -1)
        cv2.rectangle(side, (14, 34), (64, 64), glass, -1)
        cv2.line(side, (90, 0), (90, 112), (30, 30, 30), 3)
        for left in range(112, 360, 30):
            cv2.line(side, (left, 0), (left, 108), (colour * 0.75).tolist(), 1)
        cv2.rectangle(side, (150, 36), (310, 62), stripe, -1)
    cv2.rectangle(side, (0, 108), (360, 128), (30, 30, 32), -1)
    return with_alpha(side, _chassis(360, (52, 268, 308)))


def _chassis(width: int, wheels: tuple[int, ...]) -> np.ndarray:
    """Outline of a truck's face: a box on wheels."""
    alpha = np.zeros((128, width), np.uint8)
    cv2.rectangle(alpha, (0, 1), (width, 116), 255, -1)
    for centre in wheels:
        cv2.circle(alpha, (centre, 112), 15, 255, -1, cv2.LINE_AA)
    return alpha


def person(generator: np.random.Generator, stride: float) -> np.ndarray:
    """A walking person, 0.8 m by 1.8 m; stride in texture pixels, either way."""
    rows, columns = 96, 44
    coat = draw_colour(generator, 20, 220)
    trousers = draw_colour(generator, 15, 150)
    skin = draw_colour(generator, (110, 75, 55), (225, 180, 150)).tolist()
    rgb = surface(generator, rows, columns, coat, (("medium", 0.22), ("fine", 0.12)))
    rgb[52:] = surface(generator, 44, columns, trousers, (("streaks", 0.25),))
    hair = draw_colour(generator, 15, 120).tolist()
    half = 8.5 * generator.uniform(1.0, 1.4)
    alpha = np.zeros((rows, columns), np.uint8)
    for side in (-1, 1):
        foot = 22 + side * (3 + stride * 0.9)
        polygon(alpha, [(22, 50), (22 + side * 7, 50), (foot + 3.5, 95), (foot - 3.5, 95)], 255)
        hand = 22 + side * (1.05 * half - stride * 0.5)
        shoulder, edge = 22 + side * 4, 22 + side * 8
        polygon(alpha, [(shoulder, 18), (edge, 18), (hand + 2.5, 50), (hand - 2.5, 50)], 255)
    hip = half * 0.8
    coat_outline = [
        (22 - half, 22),
        (18, 16),
        (26, 16),
        (22 + half, 22),
        (22 + hip, 56),
        (22 - hip, 56),
    ]
    polygon(alpha, coat_outline, 255)
    cv2.circle(alpha, (22, 9), 7, 255, -1, cv2.LINE_AA)
    cv2.circle(rgb, (22, 9), 9, skin, -1)
    cv2.ellipse(rgb, (22, 6), (8, 6), 0, 180, 360, hair, -1)
    return with_alpha(rgb, alpha)

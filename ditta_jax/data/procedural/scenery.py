"""Things that stand: buildings, trees, hedges, fences, signs.

Every function draws one individual: RGBA uint8 with straight alpha, top row first; its look follows
from the generator alone. Colour ranges of classes overlap on purpose
(concrete and road, hedge and grass), so that a change of light makes a
segmenter confuse whole regions.
"""

from __future__ import annotations

import cv2
import numpy as np

from ditta_jax.data.procedural.noise import crop
from ditta_jax.data.procedural.sprites import (
    draw_colour,
    paint,
    polygon,
    shaded,
    surface,
    with_alpha,
)


def facade(generator: np.random.Generator, length: float, height: float) -> np.ndarray:
    """A building's wall with windows; length and height in metres."""
    per_metre = 13.0
    rows = min(int(height * per_metre), 400)
    columns = min(int(length * per_metre), 400)
    kind = generator.integers(0, 5)
    low, high = (
        ((120, 60, 45), (175, 95, 75)),  # brick
        ((165, 150, 115), (225, 205, 175)),  # plaster
        ((100, 100, 100), (160, 160, 160)),  # concrete, near road and pavement
        ((195, 195, 190), (240, 240, 240)),  # white render
        ((80, 105, 120), (130, 155, 175)),  # glass and metal, near sky
    )[kind]
    colour = draw_colour(generator, low, high)
    rgb = surface(
        generator, rows, columns, colour, (("fine", 0.12), ("medium", 0.1), ("coarse", 0.16))
    )
    if kind == 0:
        rgb[::5] = (rgb[::5] * 0.8).astype(np.uint8)
    _windows(generator, rgb, per_metre, glazed=kind == 4)
    if generator.random() < 0.5:  # shop front or plinth
        band = int(per_metre * generator.uniform(0.8, 2.8))
        tone = draw_colour(generator, (40, 40, 40), (160, 150, 140))
        patch = surface(generator, min(band, rows), columns, tone, (("medium", 0.3),))
        rgb[-patch.shape[0] :] = patch
    return with_alpha(rgb)


def _windows(generator, rgb: np.ndarray, per_metre: float, glazed: bool) -> None:
    rows, columns = rgb.shape[:2]
    storey = per_metre * generator.uniform(2.6, 3.4)
    pitch = per_metre * (generator.uniform(1.3, 1.8) if glazed else generator.uniform(1.9, 3.2))
    wide = pitch * (0.85 if glazed else generator.uniform(0.4, 0.6))
    tall = storey * (0.8 if glazed else generator.uniform(0.45, 0.6))
    frame = draw_colour(generator, (60, 55, 50), (235, 235, 230)).tolist()
    glass = draw_colour(generator, (30, 40, 50), (110, 130, 150))
    for bottom in np.arange(rows - 0.25 * storey, tall, -storey):
        for left in np.arange((columns % pitch) / 2 + (pitch - wide) / 2, columns - wide, pitch):
            top_left = (int(left), int(bottom - tall))
            bottom_right = (int(left + wide), int(bottom))
            pane = (glass * generator.uniform(0.6, 1.3)).clip(0, 255).tolist()
            cv2.rectangle(rgb, top_left, bottom_right, pane, -1)
            cv2.rectangle(rgb, top_left, bottom_right, frame, 1)


TREE_SHAPE = 104 / 128  # width over height
SIGN_SHAPE = 48 / 144


def tree(generator: np.random.Generator) -> np.ndarray:
    """A tree with its trunk, 0.81 times as wide as high."""
    rows, columns = 128, 104
    kind = generator.integers(0, 4)
    low, high = (
        ((30, 60, 20), (70, 100, 45)),
        ((55, 85, 25), (105, 130, 55)),
        ((95, 95, 35), (150, 130, 60)),  # dry, near the grass
        ((25, 55, 40), (55, 85, 65)),
    )[kind]
    rgb = surface(
        generator,
        rows,
        columns,
        draw_colour(generator, low, high),
        (("leaves", 0.5), ("coarse", 0.25)),
    )
    rgb = shaded(rgb, 1.2, 0.75)
    crown = np.zeros((rows, columns), np.float32)
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    blobs = int(generator.integers(2, 6))
    crown_bottom = rows * generator.uniform(0.62, 0.8)
    for _ in range(blobs):
        rx = columns * generator.uniform(0.22, 0.36)
        ry = crown_bottom * generator.uniform(0.25, 0.42)
        cx = columns / 2 + (columns / 2 - rx - 4) * generator.uniform(-1, 1)
        cy = ry + 3 + (crown_bottom - 2 * ry) * generator.random()
        np.maximum(crown, 1.25 - ((x - cx) / rx) ** 2 - ((y - cy) / ry) ** 2, out=crown)
    crown += np.float32(0.35) * crop(generator, "leaves", rows, columns)
    alpha = np.clip((crown - 0.25) * 9 * 255, 0, 255).astype(np.uint8)
    trunk = np.zeros_like(alpha)
    half = generator.uniform(2.2, 4.5)
    middle = columns / 2
    polygon(
        trunk,
        [
            (middle - half, rows),
            (middle - half * 0.6, crown_bottom * 0.6),
            (middle + half * 0.6, crown_bottom * 0.6),
            (middle + half, rows),
        ],
        255,
    )
    bark = surface(generator, rows, columns, draw_colour(generator, 45, 90), (("streaks", 0.4),))
    rgb = np.where((alpha < 128)[..., None], bark, rgb)
    return with_alpha(rgb, np.maximum(alpha, trunk))


def hedge(generator: np.random.Generator, length: float, height: float) -> np.ndarray:
    """A clipped hedge: a wall of vegetation; metres."""
    rows, columns = int(max(height * 30, 16)), int(np.clip(length * 16, 16, 400))
    colour = draw_colour(generator, (40, 65, 25), (100, 115, 55))
    rgb = surface(generator, rows, columns, colour, (("leaves", 0.5), ("coarse", 0.25)))
    edge = 2.5 + 2.5 * crop(generator, "leaves", 1, columns)[0]
    alpha = np.clip((np.arange(rows)[:, None] - edge) * 255, 0, 255).astype(np.uint8)
    return with_alpha(rgb, alpha)


def fence(generator: np.random.Generator, length: float, height: float) -> np.ndarray:
    """A fence of planks, pickets or mesh, labelled as a whole; metres."""
    rows, columns = int(max(height * 32, 20)), int(np.clip(length * 24, 24, 480))
    kind = generator.integers(0, 4)
    low, high = (
        ((85, 60, 40), (140, 105, 75)),
        ((190, 190, 185), (235, 235, 230)),
        ((60, 65, 65), (120, 125, 125)),
        ((45, 65, 45), (85, 105, 80)),  # green mesh, near hedges
    )[kind]
    colour = draw_colour(generator, low, high)
    rgb = surface(generator, rows, columns, colour, (("streaks", 0.25), ("coarse", 0.15)))
    pitch = int(generator.integers(5, 11))
    gap = (colour * generator.uniform(0.25, 0.5)).tolist()
    if kind in (0, 1):
        for left in range(0, columns, pitch):
            cv2.rectangle(rgb, (left, 0), (left + (kind == 1) * pitch // 3, rows), gap, -1)
    else:
        for left in range(-rows, columns, pitch):
            cv2.line(rgb, (left, 0), (left + rows, rows), gap, 1, cv2.LINE_AA)
            cv2.line(rgb, (left + rows, 0), (left, rows), gap, 1, cv2.LINE_AA)
    rail = (colour * 0.7).tolist()
    for level in (0.15, 0.8):
        cv2.line(rgb, (0, int(rows * level)), (columns, int(rows * level)), rail, 2)
    return with_alpha(rgb)


def sign(generator: np.random.Generator) -> np.ndarray:
    """A traffic sign or light on its pole, a third as wide as high."""
    rows, columns = 144, 48
    kind = int(generator.integers(0, 4))
    grey = draw_colour(generator, 70, 170)
    rgb = surface(generator, rows, columns, grey, (("streaks", 0.2),))
    alpha = np.zeros((rows, columns), np.uint8)
    half = generator.uniform(3.4, 4.8)
    polygon(alpha, [(24 - half, 4), (24 + half, 4), (24 + half, 144), (24 - half, 144)], 255)
    plate = paint(generator).tolist() if generator.random() < 0.5 else (190, 25, 25)
    inner = (225, 225, 220) if kind != 2 else (240, 200, 40)
    if kind == 0:
        for image, colour in ((alpha, 255), (rgb, plate)):
            cv2.circle(image, (24, 24), 22, colour, -1, cv2.LINE_AA)
        cv2.circle(rgb, (24, 24), 14, inner, -1, cv2.LINE_AA)
    elif kind == 1:
        triangle = [(24, 2), (47, 44), (1, 44)]
        polygon(alpha, triangle, 255)
        polygon(rgb, triangle, plate)
        polygon(rgb, [(24, 14), (38, 39), (10, 39)], inner)
    elif kind == 2:
        for image, colour in ((alpha, 255), (rgb, plate)):
            cv2.rectangle(image, (4, 2), (44, 52), colour, -1)
        cv2.rectangle(rgb, (9, 8), (39, 24), inner, -1)
        cv2.rectangle(rgb, (9, 30), (39, 46), inner, 2)
    else:  # traffic light
        for image, colour in ((alpha, 255), (rgb, (32, 34, 34))):
            cv2.rectangle(image, (12, 2), (36, 56), colour, -1)
        lit = int(generator.integers(0, 3))
        for lamp, colour in enumerate(((230, 40, 30), (235, 180, 40), (40, 200, 90))):
            shown = colour if lamp == lit else tuple(c // 4 for c in colour)
            cv2.circle(rgb, (24, 12 + 17 * lamp), 6, shown, -1, cv2.LINE_AA)
    return with_alpha(rgb, alpha)

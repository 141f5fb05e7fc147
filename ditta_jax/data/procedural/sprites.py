"""Textures of upright things: RGBA uint8 with straight alpha, top row first.

Every function draws one individual of a kind; its look follows from the generator alone.
Colour ranges of different classes overlap on purpose (concrete and road, bus and building,
hedge and grass), so that a change of light makes a segmenter confuse whole regions.
"""

from __future__ import annotations

import cv2
import numpy as np

from ditta_jax.data.procedural.noise import crop

_SHIFT = 3  # cv2 polygons take fixed-point coordinates with this many fractional bits


def _polygon(image: np.ndarray, points, colour) -> None:
    corners = np.round(np.asarray(points, np.float64) * (1 << _SHIFT)).astype(np.int32)
    cv2.fillPoly(image, [corners], colour, lineType=cv2.LINE_AA, shift=_SHIFT)


def _colour(generator: np.random.Generator, low, high) -> np.ndarray:
    return generator.uniform(low, high, 3).astype(np.float32)


def surface(generator, height: int, width: int, colour, layers) -> np.ndarray:
    """A textured rectangle.

    Args:
      generator: source of the noise windows.
      height, width: pixels, at most 512.
      colour: mean RGB, 0..255.
      layers: pairs (noise family, relative amplitude).

    Returns:
      UInt8["height width 3"].
    """
    light = np.ones((height, width), np.float32)
    for family, amplitude in layers:
        light += np.float32(amplitude) * crop(generator, family, height, width)
    tint = np.float32(0.06) * crop(generator, "medium", height, width)
    rgb = light[..., None] * np.asarray(colour, np.float32)
    rgb[..., 0] *= 1 + tint
    rgb[..., 2] *= 1 - tint
    return np.clip(rgb, 0, 255).astype(np.uint8)


def _with_alpha(rgb: np.ndarray, alpha: np.ndarray | None = None) -> np.ndarray:
    """Joins colour and coverage (uint8; None = opaque). Colour goes on where coverage is 0."""
    if alpha is None:
        alpha = np.full(rgb.shape[:2], 255, np.uint8)
    return np.dstack([rgb, alpha])


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
    colour = _colour(generator, low, high)
    rgb = surface(
        generator, rows, columns, colour, (("fine", 0.12), ("medium", 0.1), ("coarse", 0.16))
    )
    if kind == 0:
        rgb[::5] = (rgb[::5] * 0.8).astype(np.uint8)
    _windows(generator, rgb, per_metre, glazed=kind == 4)
    if generator.random() < 0.5:  # shop front or plinth
        band = int(per_metre * generator.uniform(0.8, 2.8))
        tone = _colour(generator, (40, 40, 40), (160, 150, 140))
        patch = surface(generator, min(band, rows), columns, tone, (("medium", 0.3),))
        rgb[-patch.shape[0] :] = patch
    return _with_alpha(rgb)


def _windows(generator, rgb: np.ndarray, per_metre: float, glazed: bool) -> None:
    rows, columns = rgb.shape[:2]
    storey = per_metre * generator.uniform(2.6, 3.4)
    pitch = per_metre * (generator.uniform(1.3, 1.8) if glazed else generator.uniform(1.9, 3.2))
    wide = pitch * (0.85 if glazed else generator.uniform(0.4, 0.6))
    tall = storey * (0.8 if glazed else generator.uniform(0.45, 0.6))
    frame = _colour(generator, (60, 55, 50), (235, 235, 230)).tolist()
    glass = _colour(generator, (30, 40, 50), (110, 130, 150))
    for bottom in np.arange(rows - 0.25 * storey, tall, -storey):
        for left in np.arange((columns % pitch) / 2 + (pitch - wide) / 2, columns - wide, pitch):
            top_left = (int(left), int(bottom - tall))
            bottom_right = (int(left + wide), int(bottom))
            pane = (glass * generator.uniform(0.6, 1.3)).clip(0, 255).tolist()
            cv2.rectangle(rgb, top_left, bottom_right, pane, -1)
            cv2.rectangle(rgb, top_left, bottom_right, frame, 1)


def tree(generator: np.random.Generator) -> tuple[np.ndarray, float, float]:
    """A tree: texture, width and height in metres."""
    rows, columns = 128, 104
    height = generator.uniform(4.0, 9.0)
    kind = generator.integers(0, 4)
    low, high = (
        ((30, 60, 20), (70, 100, 45)),
        ((55, 85, 25), (105, 130, 55)),
        ((95, 95, 35), (150, 130, 60)),  # dry, near the grass
        ((25, 55, 40), (55, 85, 65)),
    )[kind]
    rgb = surface(
        generator, rows, columns, _colour(generator, low, high), (("leaves", 0.5), ("coarse", 0.25))
    )
    fade = np.linspace(1.2, 0.75, rows, dtype=np.float32)[:, None, None]
    rgb = np.clip(rgb * fade, 0, 255).astype(np.uint8)
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
    _polygon(
        trunk,
        [
            (middle - half, rows),
            (middle - half * 0.6, crown_bottom * 0.6),
            (middle + half * 0.6, crown_bottom * 0.6),
            (middle + half, rows),
        ],
        255,
    )
    bark = surface(generator, rows, columns, _colour(generator, 45, 90), (("streaks", 0.4),))
    rgb = np.where((alpha < 128)[..., None], bark, rgb)
    return _with_alpha(rgb, np.maximum(alpha, trunk)), height * columns / rows, height


def hedge(generator: np.random.Generator, length: float, height: float) -> np.ndarray:
    """A clipped hedge: a wall of vegetation; metres."""
    rows, columns = int(max(height * 30, 16)), int(np.clip(length * 16, 16, 400))
    colour = _colour(generator, (40, 65, 25), (100, 115, 55))
    rgb = surface(generator, rows, columns, colour, (("leaves", 0.5), ("coarse", 0.25)))
    edge = 2.5 + 2.5 * crop(generator, "leaves", 1, columns)[0]
    alpha = np.clip((np.arange(rows)[:, None] - edge) * 255, 0, 255).astype(np.uint8)
    return _with_alpha(rgb, alpha)


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
    colour = _colour(generator, low, high)
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
    return _with_alpha(rgb)


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


def _body(generator, rows, columns, colour) -> np.ndarray:
    rgb = surface(generator, rows, columns, colour, (("medium", 0.06), ("coarse", 0.18)))
    fade = np.linspace(1.18, 0.72, rows, dtype=np.float32)[:, None, None]
    return np.clip(rgb * fade, 0, 255).astype(np.uint8)


def car_end(generator, colour: np.ndarray, front: bool) -> np.ndarray:
    """A car seen from the front or the back, 1.8 m by 1.5 m."""
    rows, columns = 72, 88
    rgb = _body(generator, rows, columns, colour)
    glass = _colour(generator, (25, 35, 45), (80, 100, 115)).tolist()
    _polygon(rgb, [(14, 28), (22, 6), (66, 6), (74, 28)], glass)
    lamps = (235, 235, 215) if front else (170, 20, 20)
    cv2.rectangle(rgb, (4, 34), (18, 42), lamps, -1)
    cv2.rectangle(rgb, (69, 34), (83, 42), lamps, -1)
    cv2.rectangle(rgb, (32, 44), (56, 51), (215, 215, 205), -1)
    cv2.rectangle(rgb, (0, 58), (88, 72), (28, 28, 30), -1)
    alpha = np.zeros((rows, columns), np.uint8)
    _polygon(
        alpha, [(2, 62), (1, 32), (10, 26), (19, 2), (69, 2), (78, 26), (87, 32), (86, 62)], 255
    )
    cv2.rectangle(alpha, (6, 60), (20, 71), 255, -1)
    cv2.rectangle(alpha, (68, 60), (82, 71), 255, -1)
    cv2.rectangle(alpha, (20, 58), (68, 66), 255, -1)
    return _with_alpha(rgb, alpha)


def car_side(generator, colour: np.ndarray) -> np.ndarray:
    """A car seen from its left with its nose at the left, 4.3 m by 1.5 m."""
    rows, columns = 72, 192
    rgb = _body(generator, rows, columns, colour)
    glass = _colour(generator, (25, 35, 45), (80, 100, 115)).tolist()
    nose = generator.uniform(40, 60)
    _polygon(rgb, [(nose + 8, 28), (nose + 30, 7), (108, 7), (108, 28)], glass)
    _polygon(rgb, [(113, 28), (113, 7), (168, 7), (178, 28)], glass)
    cv2.line(rgb, (110, 30), (110, 56), (colour * 0.6).tolist(), 1)
    alpha = np.zeros((rows, columns), np.uint8)
    roof = [(2, 60), (4, 36), (nose, 30), (nose + 28, 2), (178, 2), (189, 30), (190, 60)]
    _polygon(alpha, roof, 255)
    for centre in (36, 152):
        cv2.circle(alpha, (centre, 58), 13, 255, -1, cv2.LINE_AA)
        cv2.circle(rgb, (centre, 58), 14, (24, 24, 26), -1, cv2.LINE_AA)
        cv2.circle(rgb, (centre, 58), 7, (130, 130, 130), -1, cv2.LINE_AA)
    return _with_alpha(rgb, alpha)


def truck_faces(generator, colour: np.ndarray, bus: bool) -> tuple[np.ndarray, np.ndarray]:
    """End (2.5 m by 3.2 m) and side (9 m by 3.2 m, nose left) of a bus or a box truck."""
    end = _body(generator, 128, 100, colour)
    side = _body(generator, 128, 360, colour)
    glass = _colour(generator, (25, 35, 45), (90, 110, 125)).tolist()
    stripe = paint(generator).tolist()
    if bus:
        for left in range(8, 340, 38):
            cv2.rectangle(side, (left, 22), (left + 32, 62), glass, -1)
        cv2.rectangle(end, (8, 16), (92, 62), glass, -1)
        cv2.rectangle(side, (0, 72), (360, 80), stripe, -1)
    else:
        cv2.rectangle(side, (0, 0), (88, 26), (90, 90, 92), -1)
        cv2.rectangle(side, (14, 34), (64, 64), glass, -1)
        cv2.line(side, (90, 0), (90, 112), (30, 30, 30), 3)
        for left in range(112, 360, 30):
            cv2.line(side, (left, 0), (left, 108), (colour * 0.75).tolist(), 1)
        cv2.rectangle(side, (150, 36), (310, 62), stripe, -1)
        cv2.line(end, (50, 0), (50, 104), (colour * 0.55).tolist(), 2)
    for face, width in ((end, 100), (side, 360)):
        cv2.rectangle(face, (0, 108), (width, 128), (30, 30, 32), -1)
    cv2.rectangle(end, (4, 96), (16, 104), (190, 30, 25), -1)
    cv2.rectangle(end, (84, 96), (96, 104), (190, 30, 25), -1)
    masks = []
    for width, wheels in ((100, (12, 88)), (360, (52, 268, 308))):
        alpha = np.zeros((128, width), np.uint8)
        cv2.rectangle(alpha, (0, 1), (width, 116), 255, -1)
        for centre in wheels:
            cv2.circle(alpha, (centre, 112), 15, 255, -1, cv2.LINE_AA)
        masks.append(alpha)
    return _with_alpha(end, masks[0]), _with_alpha(side, masks[1])


def person(generator: np.random.Generator) -> list[np.ndarray]:
    """Four phases of a walking person, each 0.8 m by 1.8 m."""
    rows, columns = 96, 44
    coat = _colour(generator, 20, 220)
    trousers = _colour(generator, 15, 150)
    skin = _colour(generator, (110, 75, 55), (225, 180, 150)).tolist()
    cloth = surface(generator, rows, columns, coat, (("medium", 0.22), ("fine", 0.12)))
    legs = surface(generator, 44, columns, trousers, (("streaks", 0.25),))
    hair = _colour(generator, 15, 120).tolist()
    stout = generator.uniform(0.9, 1.3)
    phases = []
    for stride in (0.0, 8.0, 0.0, -8.0):
        rgb = cloth.copy()
        rgb[52:] = legs
        alpha = np.zeros((rows, columns), np.uint8)
        for sign in (-1, 1):
            foot = 22 + sign * (3 + stride * 0.9)
            _polygon(
                alpha, [(22, 50), (22 + sign * 7, 50), (foot + 3.5, 95), (foot - 3.5, 95)], 255
            )
            hand = 22 + sign * (9 * stout - stride * 0.5)
            _polygon(
                alpha,
                [(22 + sign * 4, 18), (22 + sign * 8, 18), (hand + 2.5, 50), (hand - 2.5, 50)],
                255,
            )
        half = 8.5 * stout
        _polygon(
            alpha,
            [
                (22 - half, 22),
                (18, 16),
                (26, 16),
                (22 + half, 22),
                (22 + half * 0.8, 56),
                (22 - half * 0.8, 56),
            ],
            255,
        )
        cv2.circle(alpha, (22, 9), 7, 255, -1, cv2.LINE_AA)
        cv2.circle(rgb, (22, 9), 9, skin, -1)
        cv2.ellipse(rgb, (22, 6), (8, 6), 0, 180, 360, hair, -1)
        phases.append(_with_alpha(rgb, alpha))
    return phases


def sign(generator: np.random.Generator) -> tuple[np.ndarray, float, float]:
    """A traffic sign or a lamp post: texture, width and height in metres."""
    rows, columns = 144, 48
    kind = int(generator.integers(0, 4))
    grey = _colour(generator, 70, 170)
    rgb = surface(generator, rows, columns, grey, (("streaks", 0.2),))
    alpha = np.zeros((rows, columns), np.uint8)
    half = generator.uniform(2.2, 3.2)
    _polygon(alpha, [(24 - half, 4), (24 + half, 4), (24 + half, 144), (24 - half, 144)], 255)
    plate = paint(generator).tolist() if generator.random() < 0.5 else (190, 25, 25)
    inner = (225, 225, 220) if kind != 2 else (240, 200, 40)
    if kind == 0:
        for image, colour in ((alpha, 255), (rgb, plate)):
            cv2.circle(image, (24, 24), 22, colour, -1, cv2.LINE_AA)
        cv2.circle(rgb, (24, 24), 14, inner, -1, cv2.LINE_AA)
    elif kind == 1:
        triangle = [(24, 2), (47, 44), (1, 44)]
        _polygon(alpha, triangle, 255)
        _polygon(rgb, triangle, plate)
        _polygon(rgb, [(24, 14), (38, 39), (10, 39)], inner)
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
    height = generator.uniform(2.6, 4.2)
    return _with_alpha(rgb, alpha), height * columns / rows, height

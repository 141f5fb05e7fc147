"""Classes of the procedural street scenes and the colours they are shown in."""

from __future__ import annotations

CLASSES: tuple[str, ...] = (
    "sky",
    "building",
    "vegetation",
    "grass",
    "road",
    "pavement",
    "car",
    "truck",
    "person",
    "sign",
    "fence",
)

PALETTE: tuple[tuple[int, int, int], ...] = (
    (70, 130, 180),
    (70, 70, 70),
    (107, 142, 35),
    (152, 251, 152),
    (128, 64, 128),
    (244, 35, 232),
    (0, 0, 142),
    (0, 60, 100),
    (220, 20, 60),
    (220, 220, 0),
    (190, 153, 153),
)

SKY, BUILDING, VEGETATION, GRASS, ROAD, PAVEMENT, CAR, TRUCK, PERSON, SIGN, FENCE = range(11)

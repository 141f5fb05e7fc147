"""Backgrounds of the training clips and the figures placed on them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from teacher_bridge.nano.training.silhouettes import (
    SIDE,
    Figure,
    car,
    person,
    random_figure,
    sign,
    tree,
)
from teacher_bridge.nano.training.textures import texture

MARGIN = 0.25  # of the frame, on every side of the background canvas


@dataclass
class Actor:
    """A figure in the scene; positions and speeds in pixels (a frame), angles in radians."""

    figure: Figure
    scale: float
    aspect: float
    angle: float
    x: float
    y: float
    speed_x: float = 0.0
    speed_y: float = 0.0
    turn: float = 0.0
    growth: float = 0.0
    sway: float = 0.0


@dataclass
class Scene:
    """A background canvas with its regions and the actors, back to front.

    colour: float32 [P, P, 3] in 0..255; labels: uint8 [P, P], values 0..region_count-1;
    horizon: row of the horizon in the first frame, in pixels; P = (1 + 2 MARGIN) frame sizes.
    """

    colour: NDArray[np.float32]
    labels: NDArray[np.uint8]
    region_count: int
    horizon: float
    actors: list[Actor]


class _Canvas:
    """Paints one region after the other and hands out their labels."""

    def __init__(self, side: int, first: NDArray[np.float32]) -> None:
        self.side = side
        self.colour = first
        self.labels = np.zeros((side, side), np.uint8)
        self.count = 1

    def add(self, region: NDArray[np.bool_], surface: NDArray[np.float32]) -> None:
        self.colour[region] = surface[region]
        self.labels[region] = self.count
        self.count += 1

    def polygon(self, corners: list[tuple[float, float]]) -> NDArray[np.bool_]:
        mask = np.zeros((self.side, self.side), np.uint8)
        cv2.fillPoly(mask, [np.round(np.asarray(corners)).astype(np.int32)], 1)
        return mask > 0


def connected_parts(labels: NDArray) -> list[NDArray[np.bool_]]:
    """The parts of every label that do not touch each other, label by label."""
    parts = []
    for label in np.unique(labels):
        count, components = cv2.connectedComponents((labels == label).astype(np.uint8))
        parts += [components == k for k in range(1, count)]
    return parts


def connected_regions(labels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], int]:
    """Give the parts of an element that do not touch labels of their own, largest first.

    A click on the grass left of a road cannot know of the grass to its right.

    Returns:
        The labels, uint8 as given, 0..count-1, and their count, 200 at most: crumbs share the last.
    """
    parts = connected_parts(labels)
    parts.sort(key=lambda part: -int(part.sum()))
    split = np.empty_like(labels)
    for index, part in enumerate(parts):
        split[part] = min(index, 199)
    return split, min(len(parts), 200)


def random_scene(rng: np.random.Generator, size: int) -> Scene:
    """Return a street (55 %) or an abstract arrangement of regions and figures."""
    return street_scene(rng, size) if rng.random() < 0.55 else abstract_scene(rng, size)


def abstract_scene(rng: np.random.Generator, size: int) -> Scene:
    """Return one to four regions with two to six figures of any kind anywhere on them."""
    side = round(size * (1 + 2 * MARGIN))
    canvas = _Canvas(side, texture(rng, side))
    columns = np.arange(side)
    for _ in range(int(rng.integers(0, 4))):
        slope, waves = rng.uniform(-0.6, 0.6), rng.uniform(2, 12)
        wave = rng.uniform(0, 0.05) * size * np.sin(columns / side * waves + rng.uniform(0, 6))
        border = side * rng.uniform(0.25, 0.75) + slope * (columns - side / 2) + wave
        region = np.arange(side)[:, None] > border[None]
        canvas.add(region.T if rng.random() < 0.4 else region, texture(rng, side))
    actors = [_floating_actor(rng, size) for _ in range(int(rng.integers(2, 7)))]
    horizon = size * rng.uniform(0, 0.6)
    return Scene(canvas.colour, *connected_regions(canvas.labels), horizon, actors)


def _floating_actor(rng: np.random.Generator, size: int) -> Actor:
    """A figure anywhere, that moves in any direction; one in five hurries out of the frame."""
    hurry = 2.5 if rng.random() < 0.2 else 1.0
    return Actor(
        figure=random_figure(rng),
        scale=size / SIDE * np.exp(rng.uniform(np.log(0.16), np.log(0.55))),
        aspect=np.exp(rng.normal(0, 0.2)),
        angle=rng.normal(0, 0.4),
        x=rng.uniform(0.06, 0.94) * size,
        y=rng.uniform(0.06, 0.94) * size,
        speed_x=hurry * rng.normal(0, 0.016) * size,
        speed_y=hurry * rng.normal(0, 0.009) * size,
        turn=rng.normal(0, 0.025),
        growth=rng.normal(0, 0.012),
        sway=rng.uniform(0, 0.06),
    )


def street_scene(rng: np.random.Generator, size: int) -> Scene:
    """Return sky, ground, a road and buildings with vehicles, persons, trees and signs."""
    side = round(size * (1 + 2 * MARGIN))
    horizon = side * rng.uniform(0.34, 0.56)
    canvas = _Canvas(side, _sky(rng, side))
    buildings = _building_corners(rng, side, horizon)
    for corners in buildings:
        canvas.add(canvas.polygon(corners), _facade(rng, side))
    level = horizon + rng.uniform(-0.06, 0.06) * (np.arange(side) - side / 2)
    ground = np.arange(side)[:, None] > level[None]
    canvas.add(ground, _ground(rng, side))
    if rng.random() < 0.85:
        _add_road(rng, canvas, horizon)
    squash = rng.uniform(0.6, 1.0)  # wide videos are squeezed into the square input
    actors = [
        _street_actor(rng, size, horizon - MARGIN * size, squash)
        for _ in range(int(rng.integers(3, 8)))
    ]
    if rng.random() < 0.15:
        actors.append(_floating_actor(rng, size))
    actors.sort(key=lambda actor: actor.y + actor.scale * SIDE / 2)
    return Scene(canvas.colour, *connected_regions(canvas.labels), horizon - MARGIN * size, actors)


def _near(rng: np.random.Generator, *colour: float) -> tuple[float, float, float] | None:
    """A colour around the usual one, brighter or darker; at times any colour (None)."""
    if rng.random() < 0.3:
        return None
    return tuple(np.clip(rng.uniform(0.6, 1.3) * np.array(colour) + rng.normal(0, 12, 3), 5, 250))


def _sky(rng: np.random.Generator, side: int) -> NDArray[np.float32]:
    usual = (150, 185, 220) if rng.random() < 0.6 else (190, 190, 190)
    return texture(rng, side, _near(rng, *usual), rng.uniform(2, 25))


def _ground(rng: np.random.Generator, side: int) -> NDArray[np.float32]:
    usual = (95, 130, 65) if rng.random() < 0.6 else (150, 140, 125)
    return texture(rng, side, _near(rng, *usual), rng.uniform(5, 30))


def _building_corners(
    rng: np.random.Generator, side: int, horizon: float
) -> list[list[tuple[float, float]]]:
    """Return the corners of up to five buildings whose feet are hidden below the horizon."""
    corners, left = [], side * rng.uniform(0, 0.3)
    for _ in range(int(rng.integers(0, 6))):
        width, height = side * rng.uniform(0.1, 0.3), side * rng.uniform(0.08, 0.36)
        top, foot = horizon - height, horizon + 0.05 * side
        outline = [(left, foot), (left, top)]
        if rng.random() < 0.3:
            outline.append((left + width / 2, top - 0.25 * width))
        corners.append([*outline, (left + width, top), (left + width, foot)])
        left += width + side * max(0.0, rng.uniform(-0.08, 0.12))
        if left > side:
            break
    return corners


def _facade(rng: np.random.Generator, side: int) -> NDArray[np.float32]:
    """Return a wall, at times with rows of windows."""
    usual = (170, 120, 95) if rng.random() < 0.5 else (165, 160, 150)
    wall = texture(rng, side, _near(rng, *usual), rng.uniform(2, 22))
    if rng.random() < 0.75:
        pitch_x, pitch_y = rng.uniform(0.035, 0.08, 2) * side
        along_x = (np.arange(side) / pitch_x) % 1 < rng.uniform(0.35, 0.65)
        along_y = (np.arange(side) / pitch_y) % 1 < rng.uniform(0.35, 0.65)
        panes = along_x[None] & along_y[:, None]
        wall[panes] = np.float32(rng.uniform(25, 200) + rng.uniform(-15, 25, 3))
    return wall


def _add_road(rng: np.random.Generator, canvas: _Canvas, horizon: float) -> None:
    """Add a road into the depth or across, at times with a pavement and lane marks."""
    side = canvas.side
    grey = texture(rng, side, _near(rng, 105, 105, 108), rng.uniform(2, 14))
    pavement = texture(rng, side, _near(rng, 165, 160, 155), rng.uniform(2, 14))
    mark = np.float32(rng.uniform(150, 245, 3))
    if rng.random() < 0.6:
        far, near = side * rng.uniform(0.02, 0.1), side * rng.uniform(0.2, 0.5)
        x_far, x_near = side * rng.uniform(0.3, 0.7), side * rng.uniform(0.3, 0.7)
        top, bottom = horizon + 0.02 * side, float(side)

        def strip(factor: float) -> NDArray[np.bool_]:
            a, b = far * factor, near * factor
            return canvas.polygon(
                [(x_far - a, top), (x_far + a, top), (x_near + b, bottom), (x_near - b, bottom)]
            )

        line, dash = strip(0.03), rng.uniform(0.04, 0.1) * side
        line &= ((np.arange(side) - horizon) / dash % 1 < 0.5)[:, None]
    else:
        top = horizon + side * rng.uniform(0.06, 0.2)
        middle, half = top + side * 0.11, side * rng.uniform(0.07, 0.12)
        slope = rng.uniform(-0.08, 0.08) * (np.arange(side) - side / 2)

        def strip(factor: float) -> NDArray[np.bool_]:
            rows = np.arange(side)[:, None] - slope[None] - middle
            return np.abs(rows) < half * factor

        line = strip(0.05) & ((np.arange(side) / side * 10) % 1 < 0.5)[None]
    if rng.random() < 0.5:
        canvas.add(strip(1.35), pavement)
    canvas.add(strip(1.0), grey)
    if rng.random() < 0.6:
        canvas.colour[line] = mark  # marks belong to the road


def _street_actor(rng: np.random.Generator, size: int, horizon: float, squash: float) -> Actor:
    """A figure that stands on the ground, larger the nearer; vehicles and persons may move."""
    depth = rng.uniform(0.12, 1.0)
    feet = horizon + depth * (1.05 * size - horizon)
    kind = rng.choice(4, p=(0.36, 0.3, 0.22, 0.12))
    maker, height, speed = (
        (car, 0.55, 0.022), (person, 0.5, 0.009), (tree, 0.85, 0.0), (sign, 0.55, 0.0)
    )[kind]  # fmt: skip
    pixels = size * rng.uniform(0.75, 1.25) * height * (0.2 + 0.8 * depth)
    # A stationary car or person is common; one in five movers is fast enough to leave.
    pace = speed * (0.3 + depth) * (2.0 if rng.random() < 0.2 else 1.0)
    moving = rng.random() < 0.75
    figure = maker(rng)
    if rng.random() < 0.5:
        figure = Figure(
            np.ascontiguousarray(figure.colour[:, ::-1]),
            np.ascontiguousarray(figure.silhouette[:, ::-1]),
        )
    return Actor(
        figure=figure,
        scale=pixels / SIDE / squash**0.5,
        aspect=squash**0.5,
        angle=rng.normal(0, 0.03),
        x=rng.uniform(0.02, 0.98) * size,
        y=feet - 0.47 * pixels,
        speed_x=moving * rng.normal(0, pace) * size,
        speed_y=moving * rng.normal(0, 0.1 * pace) * size,
        growth=moving * rng.normal(0, 0.01),
        sway=rng.uniform(0, 0.05) * (maker is person),
    )

"""A street as a small 3-D world: where things stand, how they and the camera move.

World axes in metres: X to the right, Z along the street, height upwards from the ground.
Time is counted in frames. Everything exists from frame 0 on and moves at constant speed, so
nothing pops up: things enter from the side, from behind the camera or from behind others.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from ditta_jax.data.procedural import scenery, traffic
from ditta_jax.data.procedural.camera import CameraPath, make_path
from ditta_jax.data.procedural.classes import (
    BUILDING,
    CAR,
    FENCE,
    PERSON,
    SIGN,
    TRUCK,
    VEGETATION,
)
from ditta_jax.data.procedural.sprites import paint
from ditta_jax.data.procedural.texture import Texture

FAR = 110.0  # the modelled part of the street ends here


class Wall(NamedTuple):
    """A standing rectangle over the ground segment start–end."""

    start: tuple[float, float]  # X, Z
    end: tuple[float, float]
    height: float
    texture: Texture
    label: int
    shade: float = 1.0


class Board(NamedTuple):
    """A flat thing that always faces the camera."""

    x: float
    z: float
    speed: tuple[float, float]  # metres per frame along X, Z
    width: float
    height: float
    textures: tuple[Texture, ...]  # phases of a walk
    label: int


class Vehicle(NamedTuple):
    """A box on wheels, along the street or across it."""

    x: float
    z: float
    speed: tuple[float, float]
    along: bool
    nose: int  # +1: towards +Z (or +X), -1: against it
    size: tuple[float, float, float]  # length, width, height
    front: Texture
    back: Texture
    side: Texture
    label: int


class Side(NamedTuple):
    """One side of the street, distances from its middle in metres.

    Grass lies between `road` and `verge`, pavement between `verge` and `pavement`.
    """

    road: float
    verge: float
    pavement: float
    building: float


class Street(NamedTuple):
    """The ground plan."""

    left: Side
    right: Side
    crossing: tuple[float, float] | None  # Z range of a crossing road
    marking: float  # length of a dash of the middle line; 0: no line
    shadow: float  # X beyond which (by sign) the ground lies in shadow


class Scene(NamedTuple):
    """All of a street."""

    street: Street
    buildings: tuple[Wall, ...]
    garden: tuple[Board, ...]
    fences: tuple[Wall, ...]
    boards: tuple[Board, ...]
    vehicles: tuple[Vehicle, ...]
    path: CameraPath


def make_scene(generator: np.random.Generator, width: int, height: int) -> Scene:
    """A random street; image width and height in pixels fix the camera's focal length."""
    street, kinds = _street(generator)
    buildings: list[Wall] = []
    garden: list[Board] = []
    fences: list[Wall] = []
    boards: list[Board] = []
    for sign, side, kind in ((-1, street.left, kinds[0]), (1, street.right, kinds[1])):
        if kind != "park":
            buildings += _buildings(generator, street, side, sign)
        if kind != "built":
            fences += _fences(generator, street, side, sign, kind)
            garden += _garden(generator, street, side, sign, kind)
        boards += _pavement_things(generator, street, side, sign)
    path = make_path(generator, width, height)
    return Scene(
        street,
        tuple(buildings),
        tuple(garden),
        tuple(fences),
        tuple(boards + _crossing_people(generator, street)),
        tuple(_vehicles(generator, street)),
        path,
    )


def _texture(generator: np.random.Generator, draw: Callable[..., np.ndarray], *settings) -> Texture:
    """A texture that is drawn later, from a seed of its own."""
    seed = int(generator.integers(0, 2**62))
    return Texture(lambda own: draw(own, *settings), seed)


def _street(generator: np.random.Generator) -> tuple[Street, tuple[str, str]]:
    kinds = tuple(
        str(generator.choice(["built", "garden", "park"], p=[0.3, 0.4, 0.3])) for _ in "lr"
    )
    sides = []
    for kind in kinds:
        road = generator.uniform(3.6, 4.9)
        verge = road + (generator.uniform(1.5, 4.0) if generator.random() < 0.4 else 0.0)
        pavement = verge + generator.uniform(2.5, 5.5)
        depth = {"built": 0.0, "garden": generator.uniform(2.5, 7.0), "park": 60.0}[kind]
        sides.append(Side(road, verge, pavement, pavement + depth))
    crossing = None
    if generator.random() < 0.45:
        start = generator.uniform(12, 40)
        crossing = (start, start + generator.uniform(6, 10))
    marking = generator.uniform(1.5, 4) if generator.random() < 0.75 else 0.0
    shadow = generator.choice([-1, 1]) * generator.uniform(1.5, 12)
    return Street(sides[0], sides[1], crossing, marking, float(shadow)), (kinds[0], kinds[1])


def _blocked(street: Street, low: float, high: float) -> bool:
    """Whether a Z range touches the crossing road (with a pavement's width on either side)."""
    return (
        street.crossing is not None
        and low < street.crossing[1] + 2
        and high > street.crossing[0] - 2
    )


def _buildings(generator, street: Street, side: Side, sign: int) -> list[Wall]:
    walls = []
    z = -8.0
    light = generator.uniform(0.75, 1.0)
    while z < FAR:
        length = generator.uniform(6, 15)
        height = generator.uniform(5, 17)
        if not _blocked(street, z, z + length):
            x = sign * (side.building + generator.uniform(0, 0.8))
            texture = _texture(generator, scenery.facade, length, height)
            walls.append(Wall((x, z), (x + sign * 12, z), height, texture, BUILDING, 1.75 - light))
            walls.append(Wall((x, z), (x, z + length), height, texture, BUILDING, light))
        z += length + (generator.uniform(1, 5) if generator.random() < 0.3 else 0.0)
    return walls


def _fences(generator, street: Street, side: Side, sign: int, kind: str) -> list[Wall]:
    walls = []
    z = 0.0
    height = generator.uniform(1.3, 2.6)
    share = generator.uniform(0.6, 1.0) if kind == "garden" else generator.uniform(0.2, 0.8)
    x = sign * (side.pavement + 0.1)
    while z < 60:
        length = generator.uniform(5, 14)
        if not _blocked(street, z, z + length) and generator.random() < share:
            if generator.random() < 0.7:
                draw, label = scenery.fence, FENCE
            else:
                draw, label = scenery.hedge, VEGETATION
            texture = _texture(generator, draw, length, height)
            walls.append(Wall((x, z), (x, z + length), height, texture, label))
        z += length + (generator.uniform(1, 4) if generator.random() < 0.4 else 0.0)
    return walls


def _tree(generator, x: float, z: float) -> Board:
    height = generator.uniform(4.0, 9.0)
    texture = _texture(generator, scenery.tree)
    return Board(x, z, (0.0, 0.0), height * scenery.TREE_SHAPE, height, (texture,), VEGETATION)


def _garden(generator, street: Street, side: Side, sign: int, kind: str) -> list[Board]:
    count = int(generator.integers(2, 6) if kind == "garden" else generator.integers(7, 14))
    depth = min(side.building - side.pavement, 25.0)
    trees = []
    for _ in range(count):
        z = generator.uniform(4, 75)
        x = sign * (side.pavement + depth * generator.uniform(0.25, 0.95))
        if not _blocked(street, z - 2, z + 2):
            trees.append(_tree(generator, x, z))
    return trees


def _pavement_things(generator, street: Street, side: Side, sign: int) -> list[Board]:
    things = []
    for _ in range(int(generator.integers(1, 4))):
        height = generator.uniform(2.6, 4.2)
        width, texture = height * scenery.SIGN_SHAPE, _texture(generator, scenery.sign)
        z = generator.uniform(6, 30)
        x = sign * (side.road + 0.35)
        things.append(Board(x, z, (0.0, 0.0), width, height, (texture,), SIGN))
    if generator.random() < 0.4:
        for z in np.arange(generator.uniform(6, 14), 60, generator.uniform(9, 16)):
            if not _blocked(street, z - 1, z + 1):
                things.append(_tree(generator, sign * (side.road + 0.6), float(z)))
    for _ in range(int(generator.integers(2, 6))):
        z = generator.uniform(4.5, 13)
        x = sign * generator.uniform(side.verge + 0.4, side.pavement - 0.3)
        walk = generator.choice([-1, 0, 1]) * generator.uniform(0.03, 0.09)
        things.append(_person(generator, x, z, (0.0, float(walk))))
    return things


def _person(generator, x: float, z: float, speed: tuple[float, float]) -> Board:
    height = generator.uniform(1.6, 1.95)
    seed = int(generator.integers(0, 2**62))
    phases = tuple(
        Texture(partial(traffic.person, stride=stride), seed) for stride in (0.0, 8.0, 0.0, -8.0)
    )
    return Board(float(x), float(z), speed, 0.95, height, phases, PERSON)


def _crossing_people(generator, street: Street) -> list[Board]:
    people = []
    for _ in range(int(generator.integers(0, 3))):
        heading = generator.choice([-1, 1])
        edge = street.left.pavement if heading > 0 else street.right.pavement
        x = -heading * edge * generator.uniform(0.2, 1.3)
        z = generator.uniform(6, 14)
        people.append(
            _person(generator, x, z, (float(heading * generator.uniform(0.04, 0.1)), 0.0))
        )
    return people


def _vehicle(generator, x, z, speed, along: bool, nose: int) -> Vehicle:
    colour = paint(generator)
    if generator.random() < 0.18:
        if generator.random() < 0.5:  # plain walls, near the buildings' colours
            colour = generator.uniform(120, 235) + generator.uniform(-15, 15, 3)
        bus = bool(generator.random() < 0.5)
        face = _texture(generator, traffic.truck_end, colour, bus)
        side = _texture(generator, traffic.truck_side, colour, bus)
        size = (generator.uniform(6.5, 10), 2.5, generator.uniform(2.7, 3.4))
        return Vehicle(x, z, speed, along, nose, size, face, face, side, TRUCK)
    size = (generator.uniform(3.8, 4.7), 1.8, generator.uniform(1.48, 1.9))
    front = _texture(generator, traffic.car_end, colour, True)
    back = _texture(generator, traffic.car_end, colour, False)
    side = _texture(generator, traffic.car_side, colour)
    return Vehicle(x, z, speed, along, nose, size, front, back, side, CAR)


def _vehicles(generator, street: Street) -> list[Vehicle]:
    vehicles = []
    still = (0.0, 0.0)
    for sign, side in ((-1, street.left), (1, street.right)):  # parked
        z = generator.uniform(5, 16)
        while z < 60 and generator.random() < 0.6:
            x = sign * (side.road - 0.95)
            if not _blocked(street, z - 1, z + 9):
                vehicles.append(_vehicle(generator, x, z, still, True, sign))
            z += generator.uniform(7, 18)
    for _ in range(int(generator.integers(0, 3))):  # oncoming
        speed = (0.0, -generator.uniform(0.15, 0.6))
        vehicles.append(_vehicle(generator, -1.7, generator.uniform(12, 70), speed, True, -1))
    if generator.random() < 0.6:  # ahead, or overtaking from behind the camera
        z, pace = generator.uniform(9, 25), generator.uniform(0.25, 0.4)
        if generator.random() < 0.35:
            z, pace = -generator.uniform(2, 12), generator.uniform(0.45, 0.8)
        x = 1.6 if z > 0 else -1.7
        vehicles.append(_vehicle(generator, x, z, (0.0, pace), True, 1))
    if street.crossing is not None:
        for _ in range(int(generator.integers(1, 3))):
            heading = int(generator.choice([-1, 1]))
            z = street.crossing[0] + (1.0 if heading > 0 else 3.6)
            x = -heading * generator.uniform(-6, 26)
            speed = (heading * generator.uniform(0.2, 0.6), 0.0)
            vehicles.append(_vehicle(generator, x, z, speed, False, heading))
    return vehicles

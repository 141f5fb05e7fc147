"""The ground plane, the sky and the distant skyline behind the modelled street."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from ditta_jax.data.procedural.camera import Camera
from ditta_jax.data.procedural.classes import (
    BUILDING,
    GRASS,
    PAVEMENT,
    ROAD,
    SKY,
    VEGETATION,
)
from ditta_jax.data.procedural.noise import SIDE, noise
from ditta_jax.data.procedural.scene import Side, Street

DISTANCE = 150.0  # depth of the skyline and of the sky, metres


class Ground(NamedTuple):
    """Looks of one video's ground, sky and skyline; colours RGB 0..255."""

    road: np.ndarray
    pavement: np.ndarray
    grass: np.ndarray
    marking: np.ndarray
    tile: float  # side of a pavement slab, metres
    offset: np.ndarray  # [2] shift of the noise, pixels
    roughness: float
    zenith: np.ndarray
    horizon: np.ndarray
    clouds: float
    hills: np.ndarray  # [512] heights over an angle of 2 pi, pixels
    houses: np.ndarray  # [512]
    hill_colour: np.ndarray
    house_colour: np.ndarray


def make_ground(generator: np.random.Generator) -> Ground:
    """Random looks."""
    grey = generator.uniform(70, 125)
    light = generator.uniform(105, 170)
    low, high = (
        ((70, 85, 35), (125, 140, 75))
        if generator.random() < 0.65
        else ((120, 110, 65), (160, 145, 95))
    )
    zenith, horizon = (
        ((90, 140, 205), (190, 210, 230))
        if generator.random() < 0.6
        else ((165, 175, 188), (205, 210, 215))
    )
    steps = generator.uniform(0, 34, 512 // 8) * (generator.random(512 // 8) < 0.5)
    angle = np.arange(512) / 512 * 2 * np.pi
    hills = np.full(512, generator.uniform(2, 12))
    for cycles in (3, 7, 16, 41, 90):
        hills += 9.0 / cycles**0.5 * np.sin(cycles * angle + generator.uniform(0, 6.28))
    return Ground(
        road=grey + generator.uniform(-6, 6, 3),
        pavement=light
        + np.array([8, 2, -8]) * generator.uniform(-0.5, 1.5)
        + generator.uniform(-5, 5, 3),
        grass=generator.uniform(low, high),
        marking=np.full(3, generator.uniform(190, 235)),
        tile=float(generator.choice([0.5, 0.8, 1.2])),
        offset=generator.uniform(0, SIDE, 2),
        roughness=generator.uniform(0.7, 1.3),
        zenith=np.array(zenith) + generator.uniform(-18, 18, 3),
        horizon=np.array(horizon) + generator.uniform(-12, 12, 3),
        clouds=generator.uniform(0.0, 0.5),
        hills=np.maximum(hills, 0),
        houses=np.repeat(steps, 8),
        hill_colour=generator.uniform((45, 70, 40), (100, 115, 80)),
        house_colour=generator.uniform((110, 100, 95), (185, 175, 170)),
    )


def _sample(family: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Tileable noise at float32 pixel coordinates."""
    x, y = (np.ascontiguousarray(_wrap(c)) for c in (x, y))
    return cv2.remap(noise(family), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def _wrap(position: np.ndarray, period: float = SIDE) -> np.ndarray:
    """Position modulo a period; much faster than `%` on floats."""
    return position - np.float32(period) * np.floor(position * np.float32(1 / period))


def paint_backdrop(frame, label, depth, ground: Ground, camera: Camera) -> None:
    """Paint sky and skyline into the rows above the horizon (arrays changed in place)."""
    height, width = label.shape
    rows = int(np.clip(np.ceil(camera.horizon), 1, height))
    v = np.arange(rows, dtype=np.float32)[:, None]
    above = np.float32(camera.horizon) - v - 0.5
    turn = np.arctan((np.arange(width) + 0.5 - width / 2) / camera.focal) + camera.yaw
    column = (turn / (2 * np.pi) * 512 % 512).astype(np.float32)[None]
    share = np.clip(above / 90, 0, 1)[..., None]
    horizon, zenith = ground.horizon.astype(np.float32), ground.zenith.astype(np.float32)
    sky = horizon + (zenith - horizon) * share
    x = np.broadcast_to((column * 8 + np.float32(ground.offset[0])), (rows, width))
    y = np.broadcast_to((above * 1.6 + np.float32(ground.offset[1])), (rows, width))
    cloud = np.clip(_sample("coarse", x, y) + 0.1, 0, 1)[..., None] * np.float32(ground.clouds)
    picture = sky + cloud * (np.float32(238) - sky)
    names = np.full((rows, width), SKY, np.uint8)
    grain = _sample("leaves", (column * 12) + 0 * x, (y * 2))[..., None]
    for profile, colour, name, contrast in (
        (ground.houses, ground.house_colour, BUILDING, 0.1),
        (ground.hills, ground.hill_colour, VEGETATION, 0.35),
    ):
        if name == BUILDING:
            tops = profile[column.astype(np.int64) % 512]  # a hair left of north rounds to 512
        else:
            tops = np.interp(column, np.arange(513), np.append(profile, profile[0]))
            tops = tops + 1.5 * noise("leaves")[7][(column * 12).astype(np.int64) % SIDE]
        cover = np.clip(tops.astype(np.float32) - above + 0.5, 0, 1)
        cover[:, tops[0] < 0.5] = 0
        shade = colour.astype(np.float32) * (1 + np.float32(contrast) * grain)
        picture += cover[..., None] * (shade - picture)
        names[cover >= 0.5] = name
    frame[:rows] = np.clip(picture, 0, 255).astype(np.uint8)
    label[:rows] = names
    depth[:rows] = DISTANCE


def _coverage(distance: np.ndarray, footprint: np.ndarray) -> np.ndarray:
    """Share of a pixel on the positive side of an edge at a signed distance in metres."""
    return np.clip(distance / footprint + np.float32(0.5), 0, 1)


def paint_ground(frame, label, depth, ground: Ground, street: Street, camera: Camera) -> None:
    """Paint road, pavement and grass into the rows below the horizon (arrays changed in place)."""
    height, width = label.shape
    first = int(np.clip(np.ceil(camera.horizon), 0, height - 1))
    v = np.arange(first, height, dtype=np.float32)[:, None] + np.float32(0.5 - camera.horizon)
    far = np.minimum(camera.focal * camera.height / np.maximum(v, 1e-3), DISTANCE).astype(
        np.float32
    )
    across = (
        (np.arange(width, dtype=np.float32)[None] + np.float32(0.5 - width / 2))
        / np.float32(camera.focal)
        * far
    )
    sine, cosine = np.float32(np.sin(camera.yaw)), np.float32(np.cos(camera.yaw))
    x = cosine * across + sine * far + np.float32(camera.x)
    z = cosine * far - sine * across + np.float32(camera.z)
    footprint = np.maximum(far / np.float32(camera.focal), 1e-3)
    fade = np.clip(1.15 - far / 28, 0.12, 1).astype(np.float32)
    wobble = np.float32(0.25) * _sample("medium", x * 20, z * 20)
    coarse = _sample("coarse", (x * 22 + np.float32(ground.offset[0])), z * 22)
    fine = _sample("fine", (x * 90 + np.float32(ground.offset[1])), z * 60) * fade
    leaves = _sample("leaves", x * 50, z * 30) * np.maximum(fade, 0.3)
    rough = np.float32(ground.roughness)
    road_light = 1 + rough * (0.16 * fine + 0.13 * coarse)
    slab = _joints(x, z, ground.tile, footprint)
    pavement_light = (1 + rough * (0.12 * fine + 0.12 * coarse)) * (1 - 0.28 * slab * fade)
    grass_light = 1 + rough * (0.34 * leaves + 0.2 * coarse)

    left, right = street.left, street.right
    on_road = np.minimum(x + np.float32(left.road), np.float32(right.road) - x)
    on_pavement = np.minimum(x + np.float32(left.pavement), np.float32(right.pavement) - x)
    on_pavement = np.minimum(on_pavement, _past_verge(x, left, right))
    built = _beyond(x, left, right)
    if street.crossing is not None:
        inside = np.minimum(z - np.float32(street.crossing[0]), np.float32(street.crossing[1]) - z)
        on_road = np.maximum(on_road, inside)
        on_pavement = np.maximum(on_pavement, inside + 2)
    on_pavement = np.maximum(on_pavement + wobble * (on_pavement < 1), built)
    pave, drive = _coverage(on_pavement, footprint), _coverage(on_road, footprint)
    colour = grass_light[..., None] * ground.grass.astype(np.float32)
    for cover, light, tone in (
        (pave, pavement_light, ground.pavement),
        (drive, road_light, ground.road),
        (_kerb(on_road, footprint), pavement_light, ground.pavement * 1.12),
        (_dashes(x, z, street, footprint) * drive, road_light, ground.marking),
    ):
        colour += cover[..., None] * (light[..., None] * tone.astype(np.float32) - colour)
    sign = np.float32(np.sign(street.shadow))
    shadow = _coverage(sign * (x - np.float32(street.shadow)) + 2 * wobble, footprint)
    colour *= (1 - np.float32(0.32) * shadow)[..., None]
    frame[first:] = np.clip(colour, 0, 255).astype(np.uint8)
    label[first:] = np.where(drive >= 0.5, ROAD, np.where(pave >= 0.5, PAVEMENT, GRASS))
    depth[first:] = far


def _beyond(x: np.ndarray, left: Side, right: Side) -> np.ndarray:
    """Distance behind the building line where buildings stand on the pavement's edge."""
    parts = [np.full_like(x, -1e3)]
    if left.building == left.pavement:
        parts.append(-x - np.float32(left.pavement) + 1)
    if right.building == right.pavement:
        parts.append(x - np.float32(right.pavement) + 1)
    return np.max(parts, axis=0)


def _past_verge(x: np.ndarray, left: Side, right: Side) -> np.ndarray:
    """Distance behind the grass along the road; positive everywhere where there is none."""
    starts = [side.verge if side.verge > side.road else -1e3 for side in (left, right)]
    return np.where(x < 0, -x - np.float32(starts[0]), x - np.float32(starts[1]))


def _joints(x, z, tile: float, footprint) -> np.ndarray:
    """Dark joints between slabs, 1 in a joint."""
    half = np.float32(0.02)
    distances = [
        np.abs(_wrap(c / np.float32(tile) + np.float32(0.5), 1) - np.float32(0.5))
        * np.float32(tile)
        for c in (x, z)
    ]
    return np.maximum(*(_coverage(half - d, footprint) for d in distances))


def _kerb(on_road: np.ndarray, footprint: np.ndarray) -> np.ndarray:
    """A band of 15 cm outside the road's edge."""
    return np.minimum(
        _coverage(-on_road, footprint), _coverage(on_road + np.float32(0.15), footprint)
    )


def _dashes(x, z, street: Street, footprint) -> np.ndarray:
    """The middle line."""
    if street.marking == 0:
        return np.zeros_like(x)
    width = _coverage(np.float32(0.08) - np.abs(x), footprint)
    length = np.float32(street.marking)
    dash = np.abs(_wrap(z / (2 * length), 1) - np.float32(0.5)) < 0.25
    return width * dash

"""Procedural clips with labels, and the clicks of a user on them."""

from __future__ import annotations

from typing import Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from teacher_bridge.nano.training.appearance import random_appearance
from teacher_bridge.nano.training.scenes import MARGIN, Actor, random_scene
from teacher_bridge.nano.training.silhouettes import SIDE

FRAME_SIZE = 192
HELD_OUT_SEED = 10_000_000  # seeds from here on are never trained on
LEAST_AREA = 80  # pixels of an object in the first frame
NO_OBJECT = 255  # label of what is not worth a click

Matrix = NDArray[np.float64]
Where = Literal["centre", "deep", "anywhere"]


class Clip(NamedTuple):
    """A video whose every pixel is labelled.

    frames: uint8 [T, S, S, 3] RGB; labels: uint8 [T, S, S], 0..region_count-1 for regions of the
    background, from region_count on for figures, `NO_OBJECT` for neither.
    """

    frames: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    region_count: int


def make_clip(seed: int, length: int, size: int = FRAME_SIZE) -> Clip:
    """Return the clip of this seed; a longer clip of a seed is a different clip."""
    cv2.setNumThreads(1)
    rng = np.random.default_rng([seed, length])
    scene = random_scene(rng, size)
    look = random_appearance(rng)
    shown = rng.permutation(len(scene.actors)) if rng.random() < 0.1 else None
    if shown is not None:
        scene.actors = [scene.actors[i] for i in shown]
    frames = np.empty((length, size, size, 3), np.uint8)
    labels = np.empty((length, size, size), np.uint8)
    for t, camera in enumerate(_camera_path(rng, length, size)):
        colour, label = _draw_background(scene.colour, scene.labels, camera, size)
        for index, actor in enumerate(scene.actors):
            _draw_actor(colour, label, actor, t, camera, scene.region_count + index)
        frames[t] = look.apply(colour, scene.horizon + camera[1, 2], rng)
        labels[t] = label
        look.drift(rng)
    return Clip(frames, labels, scene.region_count)


def click_in(
    mask: NDArray[np.bool_], rng: np.random.Generator, where: Where = "anywhere"
) -> tuple[int, int]:
    """Return (x, y) inside a mask bool [H, W] that is not empty.

    `centre` is the pixel furthest from the border, `deep` one at least half as far from it,
    `anywhere` any pixel two or more pixels inside (or as far inside as the mask allows).
    """
    padded = np.pad(mask.astype(np.uint8), 1)
    inside = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1]
    furthest = float(inside.max())
    if furthest == 0:
        raise ValueError("a click needs a mask with at least one pixel")
    if where == "centre":
        chosen = int(inside.argmax())
    else:
        least = 0.5 * furthest if where == "deep" else min(2.0, furthest)
        candidates = np.flatnonzero(inside >= least)
        chosen = int(candidates[rng.integers(len(candidates))])
    return chosen % mask.shape[1], chosen // mask.shape[1]


def _affine(matrix: Matrix, about: tuple[float, float], move: tuple[float, float]) -> Matrix:
    """Return p -> matrix (p - about) + about + move as [3, 3]."""
    centre = np.asarray(about)
    result = np.eye(3)
    result[:2, :2] = matrix
    result[:2, 2] = centre + np.asarray(move) - matrix @ centre
    return result


def _turned(angle: float) -> Matrix:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s], [s, c]])


def _camera_path(rng: np.random.Generator, length: int, size: int) -> list[Matrix]:
    """Return per frame the map from positions in the first frame: pan, zoom, roll and jitter."""
    pan = rng.normal(0, (0.007, 0.003)) * size * (rng.random() < 0.8)
    zoom, roll = rng.normal(0, 0.005), rng.normal(0, 0.002)
    jitter = rng.exponential(0.4) * (rng.random() < 0.5)
    path = []
    for t in range(length):
        shake = rng.normal(0, jitter, 2) if t else np.zeros(2)
        matrix = np.exp(zoom * t) * _turned(roll * t)
        path.append(_affine(matrix, (size / 2, size / 2), tuple(pan * t + shake)))
    return path


def _draw_background(
    colour: NDArray[np.float32], labels: NDArray[np.uint8], camera: Matrix, size: int
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    placed = camera @ _affine(np.eye(2), (0, 0), (-MARGIN * size, -MARGIN * size))
    warp = placed[:2].astype(np.float32)
    box, border = (size, size), cv2.BORDER_REFLECT
    return (
        cv2.warpAffine(colour, warp, box, flags=cv2.INTER_LINEAR, borderMode=border),
        cv2.warpAffine(labels, warp, box, flags=cv2.INTER_NEAREST, borderMode=border),
    )


def _draw_actor(
    colour: NDArray[np.float32],
    labels: NDArray[np.uint8],
    actor: Actor,
    t: int,
    camera: Matrix,
    label: int,
) -> None:
    """Draw an actor at time `t` into the frame and its labels, in place."""
    size = colour.shape[0]
    aspect = actor.aspect * (1 + actor.sway * np.sin(1.1 * t))
    scale = actor.scale * np.exp(actor.growth * t)
    shape = _turned(actor.angle + actor.turn * t) @ np.diag([scale * aspect, scale / aspect])
    where = (actor.x + actor.speed_x * t, actor.y + actor.speed_y * t)
    half = SIDE / 2
    placed = camera @ _affine(shape, (half, half), (where[0] - half, where[1] - half))
    # Only the part of the frame that the figure's canvas covers is warped and blended.
    corners = placed[:2, :2] @ np.array([[0, SIDE, 0, SIDE], [0, 0, SIDE, SIDE]]) + placed[:2, 2:]
    left, top = np.maximum(np.floor(corners.min(1)).astype(int), 0)
    right, bottom = np.minimum(np.ceil(corners.max(1)).astype(int) + 1, size)
    if right - left < 2 or bottom - top < 2:
        return
    warp = placed[:2].astype(np.float32)
    warp[:, 2] -= (left, top)
    box = (int(right - left), int(bottom - top))
    cover = cv2.warpAffine(actor.figure.silhouette, warp, box, flags=cv2.INTER_LINEAR)
    surface = cv2.warpAffine(
        actor.figure.colour, warp, box, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    share = cover.astype(np.float32)[..., None] / 255
    window = colour[top:bottom, left:right]
    window += share * (surface - window)
    labels[top:bottom, left:right][cover > 127] = label

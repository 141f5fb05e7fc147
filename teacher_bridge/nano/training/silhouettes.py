"""Cut-out figures that move through the training clips: a colour image and its silhouette."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from teacher_bridge.nano.training.textures import photographs, texture

SIDE = 96  # pixels a side of a figure's own canvas

Mask = NDArray[np.uint8]


class Figure(NamedTuple):
    """A figure on its canvas: float32 [SIDE, SIDE, 3] in 0..255 and uint8 [SIDE, SIDE] 0..255."""

    colour: NDArray[np.float32]
    silhouette: Mask


def random_figure(rng: np.random.Generator) -> Figure:
    """Return any figure: abstract, cut from a photograph, or of the street."""
    share = rng.random()
    if share < 0.45:
        return abstract_figure(rng)
    if share < 0.65:
        return photograph_figure(rng)
    makers = (car, person, tree, sign)
    return makers[rng.integers(len(makers))](rng)


def abstract_figure(rng: np.random.Generator) -> Figure:
    """Return a textured ellipse, box, polygon, blob or horse, at times in two parts."""
    colour = texture(rng, SIDE)
    if rng.random() < 0.35:
        top, height = int(SIDE * rng.uniform(0.3, 0.6)), int(SIDE * rng.uniform(0.08, 0.3))
        colour[top : top + height] = texture(rng, SIDE)[top : top + height]
    return Figure(colour, SHAPES[rng.integers(len(SHAPES))](rng))


def photograph_figure(rng: np.random.Generator) -> Figure:
    """Return a coherent part of a photograph, mirrored and recoloured at random."""
    parts = _photograph_parts()
    colour, silhouette = parts[rng.integers(len(parts))]
    if rng.random() < 0.5:
        colour, silhouette = colour[:, ::-1], silhouette[:, ::-1]
    colour = colour[..., rng.permutation(3)].astype(np.float32)
    return Figure(np.ascontiguousarray(colour), np.ascontiguousarray(silhouette))


@functools.lru_cache(maxsize=1)
def _photograph_parts() -> tuple[tuple[NDArray[np.uint8], Mask], ...]:
    """Cut the photographs into segments and keep the compact, large ones."""
    from skimage.segmentation import felzenszwalb

    parts = []
    for name in ("astronaut", "coffee", "chelsea", "rocket"):
        image = photographs()[name]
        ratio = 256 / max(image.shape[:2])
        image = cv2.resize(image, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
        for scale in (100, 300):
            segments = felzenszwalb(image, scale=scale, sigma=0.8, min_size=250)
            parts += [_cut(image, segments == k) for k in range(int(segments.max()) + 1)]
    return tuple(part for part in parts if part is not None)


def _cut(image: NDArray[np.uint8], segment: NDArray[np.bool_]) -> tuple | None:
    mask = cv2.morphologyEx(segment.astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    count, components = cv2.connectedComponents(mask)
    if count < 2:
        return None
    largest = 1 + int(np.bincount(components.ravel())[1:].argmax())
    x, y, w, h = cv2.boundingRect((components == largest).astype(np.uint8))
    area = int((components == largest).sum())
    if area < 250 or area < 0.35 * w * h or max(w, h) > 200:
        return None
    # Smoothed at twice its size: segment borders follow single pixels of the photograph.
    scale = 0.92 * SIDE / max(w, h)
    shift = [(SIDE - scale * (2 * x + w)) / 2, (SIDE - scale * (2 * y + h)) / 2]
    move = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], np.float32)
    solid = (components == largest).astype(np.uint8) * 255
    silhouette = cv2.warpAffine(solid, move, (SIDE, SIDE), flags=cv2.INTER_LINEAR)
    silhouette = cv2.GaussianBlur(silhouette, (0, 0), 1.2)
    silhouette = np.clip((silhouette.astype(np.int32) - 96) * 4, 0, 255).astype(np.uint8)
    colour = cv2.warpAffine(image, move, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE)
    return colour, silhouette


def _points(values: list[tuple[float, float]]) -> NDArray[np.int32]:
    """Turn canvas fractions 0..1 into pixels."""
    return np.round(np.asarray(values) * (SIDE - 1)).astype(np.int32)


def _paint(figure: Figure, part: Mask, surface: NDArray[np.float32]) -> None:
    """Put `surface` where `part` is set and add the part to the silhouette, in place."""
    figure.colour[part > 127] = surface[part > 127]
    np.maximum(figure.silhouette, part, out=figure.silhouette)


def _empty(rng: np.random.Generator) -> Figure:
    background = np.full((SIDE, SIDE, 3), rng.uniform(30, 200, 3), np.float32)
    return Figure(background, np.zeros((SIDE, SIDE), np.uint8))


def _polygon(values: list[tuple[float, float]]) -> Mask:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    cv2.fillPoly(mask, [_points(values)], 255, cv2.LINE_AA)
    return mask


def _box(left: float, top: float, right: float, bottom: float) -> Mask:
    return _polygon([(left, top), (right, top), (right, bottom), (left, bottom)])


def _disc(x: float, y: float, radius_x: float, radius_y: float | None = None) -> Mask:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    radii = _points([(radius_x, radius_x if radius_y is None else radius_y)])[0]
    centre = _points([(x, y)])[0]
    cv2.ellipse(mask, centre.tolist(), radii.tolist(), 0, 0, 360, 255, -1, cv2.LINE_AA)
    return mask


def _plain(rng: np.random.Generator, low: float, high: float) -> NDArray[np.float32]:
    grey = rng.uniform(low, high) + rng.uniform(-12, 12, 3)
    return texture(rng, SIDE, tuple(grey), rng.uniform(2, 12))


def car(rng: np.random.Generator) -> Figure:
    """Return a vehicle from the side, or a van or bus from the front."""
    figure = _empty(rng)
    paint = texture(rng, SIDE, contrast=rng.uniform(2, 20))
    glass, rubber = _plain(rng, 20, 120), _plain(rng, 10, 60)
    if rng.random() < 0.65:
        roof, belt, floor = rng.uniform(0.2, 0.3), rng.uniform(0.45, 0.52), rng.uniform(0.7, 0.76)
        a, b = rng.uniform(0.08, 0.3), rng.uniform(0.65, 0.92)
        slant = rng.uniform(0.03, 0.12)
        for x in (rng.uniform(0.16, 0.26), rng.uniform(0.72, 0.82)):
            _paint(figure, _disc(x, floor, 0.09), rubber)
        _paint(figure, _box(0.03, belt, 0.97, floor), paint)
        _paint(
            figure, _polygon([(a, belt), (a + slant, roof), (b - slant, roof), (b, belt)]), paint
        )
        inner = [(a + 0.05, belt), (a + slant + 0.04, roof + 0.05)]
        inner += [(b - slant - 0.04, roof + 0.05), (b - 0.05, belt)]
        _paint(figure, _polygon(inner), glass)
    else:
        top, half = rng.uniform(0.05, 0.3), rng.uniform(0.25, 0.42)
        for x in (0.5 - half + 0.08, 0.5 + half - 0.08):
            _paint(figure, _box(x - 0.07, 0.8, x + 0.07, 0.96), rubber)
        _paint(figure, _box(0.5 - half, top, 0.5 + half, 0.9), paint)
        _paint(figure, _box(0.56 - half, top + 0.07, 0.44 + half, rng.uniform(0.4, 0.52)), glass)
        lamp = _plain(rng, 150, 250)
        for x in (0.5 - half + 0.07, 0.5 + half - 0.07):
            _paint(figure, _disc(x, 0.68, 0.045), lamp)
    return figure


def person(rng: np.random.Generator) -> Figure:
    """Return a standing or walking person."""
    figure = _empty(rng)
    skin = texture(rng, SIDE, tuple(rng.uniform(0.35, 1) * np.array([225, 180, 150])), 6)
    shirt = texture(rng, SIDE, contrast=rng.uniform(3, 25))
    trousers = texture(rng, SIDE, contrast=rng.uniform(3, 15))
    half, stride = rng.uniform(0.11, 0.17), rng.uniform(0, 0.13)
    leg = half * 0.55
    for side in (-1, 1):
        foot = 0.5 + side * (stride + leg)
        hip = 0.5 + side * leg
        outline = [(hip - leg, 0.55), (hip + leg, 0.55), (foot + leg, 0.97), (foot - leg, 0.97)]
        _paint(figure, _polygon(outline), trousers)
    reach = half + rng.uniform(0.03, 0.08)
    torso = [(0.5 - half, 0.22), (0.5 + half, 0.22), (0.5 + reach, 0.5)]
    torso += [(0.5 + half, 0.6), (0.5 - half, 0.6), (0.5 - reach, 0.5)]
    _paint(figure, _polygon(torso), shirt)
    _paint(figure, _disc(0.5, 0.125, rng.uniform(0.07, 0.1), rng.uniform(0.09, 0.115)), skin)
    return figure


def tree(rng: np.random.Generator) -> Figure:
    """Return a tree: a trunk under a crown of overlapping discs."""
    figure = _empty(rng)
    leaf = rng.uniform(0.5, 1.5) * np.array([70, rng.uniform(80, 130), 50])
    crown = texture(rng, SIDE, tuple(leaf) if rng.random() < 0.7 else None)
    trunk = texture(rng, SIDE, tuple(rng.uniform(0.4, 1.3) * np.array([95, 70, 50])), 10)
    half = rng.uniform(0.035, 0.08)
    _paint(figure, _box(0.5 - half, 0.45, 0.5 + half, 0.97), trunk)
    for _ in range(int(rng.integers(4, 9))):
        x, y = rng.uniform(0.32, 0.68), rng.uniform(0.24, 0.52)
        _paint(figure, _disc(x, y, rng.uniform(0.13, 0.23)), crown)
    return figure


def sign(rng: np.random.Generator) -> Figure:
    """Return a road sign on its pole."""
    figure = _empty(rng)
    half, radius = rng.uniform(0.03, 0.06), rng.uniform(0.2, 0.3)
    _paint(figure, _box(0.5 - half, 0.3, 0.5 + half, 0.97), _plain(rng, 60, 180))
    rim, face = texture(rng, SIDE, contrast=5), texture(rng, SIDE, contrast=5)
    kind = rng.integers(3)
    for size, surface in ((radius, rim), (radius * rng.uniform(0.6, 0.85), face)):
        if kind == 0:
            part = _disc(0.5, 0.32, size)
        elif kind == 1:
            part = _box(0.5 - size, 0.32 - size, 0.5 + size, 0.32 + size)
        else:
            part = _polygon(
                [(0.5, 0.32 - size), (0.5 + size, 0.32 + size), (0.5 - size, 0.32 + size)]
            )
        _paint(figure, part, surface)
    return figure


def _ellipse(rng: np.random.Generator) -> Mask:
    return _disc(0.5, 0.5, rng.uniform(0.2, 0.47), rng.uniform(0.2, 0.47))


def _rectangle(rng: np.random.Generator) -> Mask:
    half_width, half_height = rng.uniform(0.15, 0.47, 2)
    return _box(0.5 - half_width, 0.5 - half_height, 0.5 + half_width, 0.5 + half_height)


def _star(rng: np.random.Generator) -> Mask:
    """Return a star-convex polygon of 3 to 8 corners."""
    corners = int(rng.integers(3, 9))
    angles = 2 * np.pi / corners * (np.arange(corners) + rng.uniform(0, 0.6, corners))
    radii = rng.uniform(0.22, 0.48, corners)
    x, y = 0.5 + radii * np.cos(angles), 0.5 + radii * np.sin(angles)
    return _polygon(list(zip(x, y, strict=True)))


def _blob(rng: np.random.Generator) -> Mask:
    """Return a smooth closed curve: a circle with a few random waves."""
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    radii = np.full(48, rng.uniform(0.28, 0.36))
    for waves in range(2, 6):
        radii = radii + rng.normal(0, 0.05 / waves**0.5) * np.cos(
            waves * angles + rng.uniform(0, 6)
        )
    radii = np.clip(radii, 0.1, 0.48)
    x, y = 0.5 + radii * np.cos(angles), 0.5 + radii * np.sin(angles)
    return _polygon(list(zip(x, y, strict=True)))


@functools.lru_cache(maxsize=1)
def _horse_mask() -> Mask:
    from skimage import data

    dark = (~data.horse()).astype(np.uint8) * 255
    x, y, w, h = cv2.boundingRect(dark)
    side = max(w, h)
    square = np.zeros((side, side), np.uint8)
    top, left = (side - h) // 2, (side - w) // 2
    square[top : top + h, left : left + w] = dark[y : y + h, x : x + w]
    inside = cv2.resize(square, (SIDE - 8, SIDE - 8), interpolation=cv2.INTER_AREA)
    return cv2.copyMakeBorder(inside, 4, 4, 4, 4, cv2.BORDER_CONSTANT, value=0)


def _horse(rng: np.random.Generator) -> Mask:
    mask = _horse_mask()
    return np.ascontiguousarray(mask[:, ::-1]) if rng.random() < 0.5 else mask.copy()


SHAPES: tuple[Callable[[np.random.Generator], Mask], ...] = (
    _ellipse,
    _rectangle,
    _star,
    _blob,
    _blob,
    _horse,
)

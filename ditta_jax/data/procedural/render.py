"""Paints a scene at one moment: frame, label map and depth.

Painter's algorithm: backdrop, ground, shadows, buildings, gardens, fences, then all other things
from far to near. Coverage is antialiased; a pixel's label is what covers at least half of it.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from ditta_jax.data.procedural.camera import Camera, CameraPath, camera_at
from ditta_jax.data.procedural.ground import DISTANCE, Ground, paint_backdrop, paint_ground
from ditta_jax.data.procedural.scene import Board, Scene, Vehicle, Wall
from ditta_jax.data.procedural.texture import Texture

_NEAR = 0.6  # metres; nearer parts of a wall are cut off
_SHUTTER = 0.5  # share of a frame's time during which the camera sees
_POLYGON_SHIFT = 4


class Picture(NamedTuple):
    """One rendered moment.

    Attributes:
        frame: UInt8["H W 3"] RGB.
        label: UInt8["H W"] class index.
        depth: Float32["H W"] metres.
        thing: UInt16["H W"] number of the building, tree, vehicle, ... that is seen, the same at
            all times of a scene; 0 is ground, sky and skyline.
    """

    frame: np.ndarray
    label: np.ndarray
    depth: np.ndarray
    thing: np.ndarray


def render(scene: Scene, ground: Ground, time: float, size: tuple[int, int]) -> Picture:
    """The scene at a time in frames, at a size (H, W)."""
    camera = camera_at(scene.path, time)
    picture = Picture(
        np.zeros((*size, 3), np.uint8),
        np.zeros(size, np.uint8),
        np.zeros(size, np.float32),
        np.zeros(size, np.uint16),
    )
    paint_backdrop(*picture[:3], ground, camera)
    paint_ground(*picture[:3], ground, scene.street, camera)
    _shadows(picture.frame, scene, camera, time)
    layers: tuple[tuple[Wall | Board | Vehicle, ...], ...] = (
        scene.buildings, scene.garden, scene.fences, (*scene.boards, *scene.vehicles)
    )  # fmt: skip
    number = 1
    for layer in layers:
        numbered = enumerate(layer, start=number)
        for thing_number, thing in sorted(numbered, key=lambda item: -_distance(item[1], time)):
            _paint_thing(picture, camera, thing, time, thing_number)
        number += len(layer)
    return picture._replace(frame=_camera_blur(picture.frame, scene.path, time))


def _to_camera(camera: Camera, x: float, z: float) -> tuple[float, float]:
    """Rightward and forward distance of a ground point from the camera."""
    dx, dz = x - camera.x, z - camera.z
    sine, cosine = np.sin(camera.yaw), np.cos(camera.yaw)
    return float(cosine * dx - sine * dz), float(sine * dx + cosine * dz)


def _distance(thing: Wall | Board | Vehicle, time: float) -> float:
    """Z of a thing, by which a layer is sorted; that of a wall's start."""
    return thing.start[1] if isinstance(thing, Wall) else thing.z + thing.speed[1] * time


def _paint_thing(
    picture: Picture, camera: Camera, thing: Wall | Board | Vehicle, time: float, number: int
) -> None:
    if isinstance(thing, Wall):
        _paint_wall(picture, camera, thing, number)
    elif isinstance(thing, Board):
        _paint_board(picture, camera, thing, time, number)
    else:
        _paint_vehicle(picture, camera, thing, time, number)


def _paint_wall(picture: Picture, camera: Camera, wall: Wall, number: int, blur: int = 0) -> None:
    start = _to_camera(camera, *wall.start)
    end = _to_camera(camera, *wall.end)
    names = (wall.label, number)
    _paint(picture, camera, start, end, wall.height, wall.texture, names, wall.shade, blur)


def _paint_board(picture: Picture, camera: Camera, board: Board, time: float, number: int) -> None:
    x = board.x + board.speed[0] * time
    z = board.z + board.speed[1] * time
    right, forward = _to_camera(camera, x, z)
    if forward < _NEAR:
        return
    half = board.width / 2
    pace = np.hypot(*board.speed) * 1.6
    texture = board.textures[int(time * pace * 4 + board.z) % len(board.textures)]
    start, end = (right - half, forward), (right + half, forward)
    _paint(picture, camera, start, end, board.height, texture, (board.label, number), 1.0, 0)


def _paint_vehicle(
    picture: Picture, camera: Camera, vehicle: Vehicle, time: float, number: int
) -> None:
    """The box's visible side and its near end (its near side and visible end if it crosses)."""
    x = vehicle.x + vehicle.speed[0] * time
    z = vehicle.z + vehicle.speed[1] * time
    length, width, height = vehicle.size
    label = vehicle.label
    distance = max(_to_camera(camera, x, z)[1], 1.0)
    pace = abs(vehicle.speed[0]) * camera.focal / distance
    blur = int(pace * _SHUTTER)
    if vehicle.along:
        end = vehicle.back if vehicle.nose > 0 else vehicle.front
        near, far = (z, z + length) if vehicle.nose < 0 else (z + length, z)  # the nose first
        for edge, seen in (
            (x - width / 2, x - width / 2 > camera.x),
            (x + width / 2, x + width / 2 < camera.x),
        ):
            if seen:
                side = Wall((edge, near), (edge, far), height, vehicle.side, label, 0.85)
                _paint_wall(picture, camera, side, number)
        wall = Wall((x - width / 2, z), (x + width / 2, z), height, end, label)
        _paint_wall(picture, camera, wall, number)
        return
    nose, tail = x + vehicle.nose * length / 2, x - vehicle.nose * length / 2
    for edge, texture in ((nose, vehicle.front), (tail, vehicle.back)):
        if (edge - camera.x) * (edge - x) < 0:
            wall = Wall((edge, z), (edge, z + width), height, texture, label, 0.85)
            _paint_wall(picture, camera, wall, number)
    wall = Wall((nose, z), (tail, z), height, vehicle.side, label)
    _paint_wall(picture, camera, wall, number, blur)


def _clip_near(start, end):
    """The part of a segment in front of the camera, and where it lies on the segment (0..1)."""
    low, high = 0.0, 1.0
    (xa, za), (xb, zb) = start, end
    if za < _NEAR and zb < _NEAR:
        return None
    if za < _NEAR:
        low = (_NEAR - za) / (zb - za)
        xa, za = xa + low * (xb - xa), _NEAR
    elif zb < _NEAR:
        high = (_NEAR - za) / (zb - za)
        xb, zb = xa + high * (xb - xa), _NEAR
    return (xa, za), (xb, zb), low, high


def _paint(
    picture: Picture, camera: Camera, start, end, height: float, texture: Texture,
    names: tuple[int, int], shade: float, blur: int,
) -> None:  # fmt: skip
    """Paint a standing rectangle given by its ground line in camera coordinates.

    `names`: its class and its number, see `Picture`.
    """
    clipped = _clip_near(start, end)
    if clipped is None:
        return
    (xa, za), (xb, zb), low, high = clipped
    rows, columns = picture.label.shape
    ua, ub = (columns / 2 + camera.focal * x / z for x, z in ((xa, za), (xb, zb)))
    left, right = int(max(np.floor(min(ua, ub)), 0)), int(min(np.ceil(max(ua, ub)), columns))
    base_a, base_b = (camera.horizon + camera.focal * camera.height / z for z in (za, zb))
    top_a, top_b = (camera.horizon + camera.focal * (camera.height - height) / z for z in (za, zb))
    top, bottom = (
        int(max(np.floor(min(top_a, top_b)), 0)),
        int(min(np.ceil(max(base_a, base_b)), rows)),
    )
    if left >= right or top >= bottom:
        return
    scale = camera.focal / np.sqrt(za * zb)  # pixels per metre about its middle
    image = texture.level(texture.level(1).shape[0] / (scale * height))
    tall, wide = image.shape[:2]
    source = np.array(
        [[low * wide, 0], [high * wide, 0], [high * wide, tall], [low * wide, tall]], np.float32
    )
    target = np.array([[ua, top_a], [ub, top_b], [ub, base_b], [ua, base_a]])
    target -= (left, top)
    window = (right - left, bottom - top)
    matrix = cv2.getPerspectiveTransform(source - 0.5, (target - 0.5).astype(np.float32))
    patch = cv2.warpPerspective(
        image, matrix, window, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    cover = np.zeros((window[1], window[0]), np.uint8)
    corners = np.round((target - 0.5).clip(-4000, 4000) * (1 << _POLYGON_SHIFT)).astype(np.int32)
    cv2.fillConvexPoly(cover, corners, 255, cv2.LINE_AA, _POLYGON_SHIFT)
    if not texture.opaque:
        alpha = patch[..., 3]
        magnified = scale * height / tall
        if magnified > 1.2:  # keep outlines of enlarged textures crisp
            alpha = _steeper(alpha, magnified)
        cover = np.minimum(cover, alpha)
    if blur > 1:
        patch = cv2.blur(patch, (blur, 1))
    inverse = (
        np.linspace(1 / za, 1 / zb, window[0])
        if ua < ub
        else np.linspace(1 / zb, 1 / za, window[0])
    )
    _compose(picture, (top, bottom, left, right), patch[..., :3], cover, shade, names, inverse)


def _steeper(alpha: np.ndarray, factor: float) -> np.ndarray:
    """Contrast of coverage about one half, through a table."""
    table = np.clip((np.arange(256) - 127.5) * factor + 127.5, 0, 255).astype(np.uint8)
    return cv2.LUT(alpha, table)


def _compose(picture: Picture, box, colour, cover, shade: float, names, inverse) -> None:
    top, bottom, left, right = box
    if shade != 1.0:
        colour = cv2.convertScaleAbs(colour, alpha=shade)
    weight = cover.astype(np.float32) * np.float32(1 / 255)
    view = picture.frame[top:bottom, left:right]
    view[:] = cv2.blendLinear(
        np.ascontiguousarray(colour), np.ascontiguousarray(view), weight, 1 - weight
    )
    mask = cover >= 128
    label, number = names
    np.copyto(picture.label[top:bottom, left:right], np.uint8(label), where=mask)
    np.copyto(picture.thing[top:bottom, left:right], np.uint16(number), where=mask)
    np.copyto(picture.depth[top:bottom, left:right], (1 / inverse).astype(np.float32), where=mask)


def _shadows(frame: np.ndarray, scene: Scene, camera: Camera, time: float) -> None:
    """Soft dark spots under everything that stands on the ground."""
    mask = np.zeros(frame.shape[:2], np.uint8)
    things: list[Board | Vehicle] = [*scene.boards, *scene.garden, *scene.vehicles]
    for thing in things:
        x, z = thing.x + thing.speed[0] * time, thing.z + thing.speed[1] * time
        if isinstance(thing, Vehicle):
            half_x, half_z = thing.size[1] / 2 + 0.3, thing.size[0] / 2 + 0.3
            if thing.along:
                z += thing.size[0] / 2
            else:
                half_x, half_z = half_z, half_x
                z += thing.size[1] / 2
        else:
            half_x = thing.width * 0.45
            half_z = half_x
        corners = []
        for dx, dz in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
            right, forward = _to_camera(camera, x + dx * half_x, z + dz * half_z)
            if forward < _NEAR or forward > DISTANCE:
                break
            u = frame.shape[1] / 2 + camera.focal * right / forward
            corners.append((u, camera.horizon + camera.focal * camera.height / forward))
        else:
            points = np.round(np.clip(corners, -2000, 2000) * np.float64(16)).astype(np.int32)
            cv2.fillConvexPoly(mask, points, 120, cv2.LINE_AA, 4)
    first = int(np.clip(np.ceil(camera.horizon), 0, frame.shape[0] - 1))
    soft = cv2.blur(mask, (5, 3))[first:]
    keep = cv2.merge([255 - soft] * 3)
    frame[first:] = cv2.multiply(frame[first:], keep, scale=1 / 255)


def _camera_blur(frame: np.ndarray, path: CameraPath, time: float) -> np.ndarray:
    """Mean of the frame moved along the camera's motion while the shutter is open."""
    before = camera_at(path, max(time - _SHUTTER / 2, 0))
    after = camera_at(path, time + _SHUTTER / 2)
    shift_x = (before.yaw - after.yaw) * path.focal
    shift_y = after.horizon - before.horizon
    zoom = (after.z - before.z) / 15.0  # growth of what stands 15 m away
    rows, columns = frame.shape[:2]
    reach = np.hypot(shift_x, shift_y) + zoom * columns / 3
    if reach < 0.5:
        return frame
    taps = 3 if reach < 3 else 5
    total = np.zeros(frame.shape, np.float32)
    for part in np.linspace(-0.5, 0.5, taps):
        grow = 1 + zoom * part
        matrix = np.array(
            [
                [grow, 0, (1 - grow) * columns / 2 + shift_x * part],
                [0, grow, (1 - grow) * before.horizon + shift_y * part],
            ]
        )
        moved = (
            frame
            if part == 0
            else cv2.warpAffine(
                frame,
                matrix,
                (columns, rows),
                flags=cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            )
        )
        cv2.accumulate(moved, total)
    return cv2.convertScaleAbs(total, alpha=1 / taps)

"""How the camera of a scene moves: forward, panning, swaying, shaking."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class CameraPath(NamedTuple):
    """Camera motion; see `camera_at`."""

    focal: float
    height: float
    x: float
    z: float
    speed: float
    yaw: float
    pan: float
    sway: tuple[float, float, float]  # amplitude (radian), period (frames), phase
    horizon: float
    shake: np.ndarray  # [64, 2] pixels, smooth


class Camera(NamedTuple):
    """A pin-hole camera; yaw in radian to the right, horizon as an image row."""

    x: float
    z: float
    height: float
    yaw: float
    focal: float
    horizon: float


def make_path(generator: np.random.Generator, width: int, height: int) -> CameraPath:
    """A random camera motion for images of a width and height in pixels."""
    hand_held = generator.random() < 0.35
    shake = generator.standard_normal((64, 2))
    smooth = (shake + np.roll(shake, 1, 0) + np.roll(shake, -1, 0)) / 1.7
    speed = 0.0 if generator.random() < 0.1 else generator.uniform(0.05, 0.24)
    return CameraPath(
        focal=width * generator.uniform(1.1, 1.4),
        height=generator.uniform(1.15, 1.45),  # below every roof: roofs are not drawn
        x=generator.uniform(-0.2, 1.0),
        z=0.0,
        speed=float(speed),
        yaw=generator.uniform(-0.32, 0.32),
        pan=generator.uniform(-1, 1) * 0.004,
        sway=(generator.uniform(0, 0.03), generator.uniform(25, 70), generator.uniform(0, 6.28)),
        horizon=height * generator.uniform(0.4, 0.52),
        shake=smooth * (1.2 if hand_held else 0.35),
    )


def camera_at(path: CameraPath, time: float) -> Camera:
    """The camera at a time in frames, 0 ≤ time ≤ 62."""
    amplitude, period, phase = path.sway
    low = int(np.floor(time))
    part = time - low
    shake = path.shake[low % 64] * (1 - part) + path.shake[(low + 1) % 64] * part
    angle = 2 * np.pi * time / period + phase
    yaw = path.yaw + path.pan * time + amplitude * np.sin(angle) + shake[0] / path.focal
    return Camera(
        x=path.x + 0.05 * float(np.sin(angle * 0.7)),
        z=path.z + path.speed * time,
        height=path.height,
        yaw=float(yaw),
        focal=path.focal,
        horizon=float(path.horizon + shake[1]),
    )

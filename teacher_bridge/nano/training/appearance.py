"""Light, weather and camera of a training clip, the same through the clip but for small drifts."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

CHANGED_SHARE = 0.5  # of the clips; the others keep good light and a good camera


@dataclass
class Appearance:
    """How a clip is photographed; grey levels are 0..255."""

    gain: NDArray[np.float32]  # [3], includes the colour cast
    offset: float
    gamma: float
    fog: float  # 0..1, share of the fog's colour at the horizon
    fog_colour: NDArray[np.float32]  # [3]
    fog_reach: float  # fraction of the frame's height over which the fog thins out downwards
    noise: float  # standard deviation
    blur: float  # standard deviation in pixels
    motion: NDArray[np.float32] | None  # kernel of the motion blur

    def apply(
        self, frame: NDArray[np.float32], horizon: float, rng: np.random.Generator
    ) -> NDArray[np.uint8]:
        """Return the frame as photographed: float32 [H, W, 3] in 0..255 -> uint8 [H, W, 3]."""
        if self.motion is not None:
            frame = cv2.filter2D(frame, -1, self.motion)
        if self.fog > 0:
            rows = np.arange(frame.shape[0], dtype=np.float32)
            below = np.maximum(rows - horizon, 0) / (self.fog_reach * frame.shape[0])
            share = (self.fog * np.exp(-below))[:, None, None]
            frame = frame + share * (self.fog_colour - frame)
        if self.gamma != 1:
            bent = (np.clip(frame, 0, 255) / 255) ** np.float32(self.gamma)
            frame = (255 * bent).astype(np.float32)
        frame = frame * self.gain + np.float32(self.offset)
        if self.blur > 0:
            frame = cv2.GaussianBlur(frame, (0, 0), self.blur)
        if self.noise > 0:
            grain = rng.standard_normal(frame.shape, dtype=np.float32)
            frame = frame + np.float32(self.noise) * grain
        return np.clip(frame, 0, 255).astype(np.uint8)

    def drift(self, rng: np.random.Generator) -> None:
        """Change the exposure a little, as from one frame to the next."""
        self.gain = self.gain * np.float32(np.exp(rng.normal(0, 0.015)))
        self.offset += rng.normal(0, 1.0)


def random_appearance(rng: np.random.Generator) -> Appearance:
    """Return a good camera in good light, or (50 %) one to three changes of it."""
    look = Appearance(
        gain=np.full(3, rng.uniform(0.8, 1.15), np.float32),
        offset=rng.uniform(-12, 12),
        gamma=1.0,
        fog=0.0,
        fog_colour=np.full(3, 200, np.float32),
        fog_reach=1.0,
        noise=rng.uniform(0, 5),
        blur=0.6 if rng.random() < 0.3 else 0.0,
        motion=None,
    )
    if rng.random() < CHANGED_SHARE:
        changes = (_darken, _cast, _bend, _fog, _grain, _defocus, _shake)
        for index in rng.choice(len(changes), int(rng.integers(1, 4)), replace=False):
            changes[index](look, rng)
    return look


def _darken(look: Appearance, rng: np.random.Generator) -> None:
    look.gain = look.gain * np.float32(rng.uniform(0.5, 1.25))


def _cast(look: Appearance, rng: np.random.Generator) -> None:
    look.gain = look.gain * rng.uniform(0.75, 1.2, 3).astype(np.float32)


def _bend(look: Appearance, rng: np.random.Generator) -> None:
    look.gamma = float(np.exp(rng.uniform(-0.5, 0.5)))


def _fog(look: Appearance, rng: np.random.Generator) -> None:
    look.fog = rng.uniform(0.2, 0.75)
    look.fog_colour = (rng.uniform(130, 235) + rng.uniform(-10, 10, 3)).astype(np.float32)
    look.fog_reach = rng.uniform(0.2, 1.5)


def _grain(look: Appearance, rng: np.random.Generator) -> None:
    look.noise = rng.uniform(4, 14)


def _defocus(look: Appearance, rng: np.random.Generator) -> None:
    look.blur = rng.uniform(0.6, 1.6)


def _shake(look: Appearance, rng: np.random.Generator) -> None:
    side = int(rng.choice((3, 5, 7)))
    line = np.zeros((side, side), np.float32)
    angle = rng.normal(0, 0.4)
    reach = (side - 1) / 2 * np.array([np.cos(angle), np.sin(angle)])
    start, end = np.round((side - 1) / 2 - reach), np.round((side - 1) / 2 + reach)
    cv2.line(line, start.astype(int).tolist(), end.astype(int).tolist(), 1.0)
    look.motion = line / line.sum()

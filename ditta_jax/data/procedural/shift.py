"""Appearance shift: what the camera sees in bad conditions, and nothing the stills show.

`SEVERITY` is the one number to tune. 0 leaves frames as they are; at 1 every range below is in
full use. It is part of the data set's fingerprint, so changing it makes a new data set.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

SEVERITY = 0.75

# Ranges at severity 1, drawn once per video.
GAMMA = (0.55, 1.9)  # exponent of the tone curve: below 1 brighter, above 1 darker
GAIN = (0.6, 1.15)  # exposure
FOG = (0.006, 0.035)  # extinction per metre; the street is modelled for 110 m
CAST = 0.14  # relative gain of red and blue, either way
SATURATION = (0.45, 1.1)
NOISE = (2.0, 9.0)  # standard deviation, grey levels
BLUR = (0.0, 0.9)  # standard deviation of the lens blur, pixels


class Shift(NamedTuple):
    """One video's conditions.

    Attributes:
        gamma: exponent of the tone curve (1: none).
        gain: exposure (1: none).
        fog: extinction per metre (0: none).
        fog_colour: Float["3"] RGB 0..255.
        cast: Float["3"] gain per channel (1: none).
        saturation: 1: unchanged.
        noise: standard deviation in grey levels (0: none).
        blur: standard deviation in pixels (0: none).
    """

    gamma: float
    gain: float
    fog: float
    fog_colour: tuple[float, float, float]
    cast: tuple[float, float, float]
    saturation: float
    noise: float
    blur: float


NEUTRAL = Shift(1.0, 1.0, 0.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 1.0, 0.0, 0.0)


def draw_shift(generator: np.random.Generator, severity: float = SEVERITY) -> Shift:
    """Conditions of one video; severity ≥ 0, 0 gives `NEUTRAL` up to the fog's colour."""

    def between(low: float, high: float, neutral: float) -> float:
        return float(neutral + severity * (generator.uniform(low, high) - neutral))

    grey = generator.uniform(165, 220)
    warm = between(-CAST, CAST, 0.0)
    return Shift(
        gamma=max(float(np.exp(severity * np.log(generator.uniform(*GAMMA)))), 0.2),
        gain=max(between(*GAIN, 1.0), 0.2),
        fog=between(*FOG, 0.0),
        fog_colour=(float(grey), float(grey + 3), float(grey + 8)),
        cast=(1 + warm, 1.0, 1 - warm),
        saturation=max(between(*SATURATION, 1.0), 0.0),
        noise=between(*NOISE, 0.0),
        blur=between(*BLUR, 0.0),
    )


def apply_shift(
    frame: np.ndarray, depth: np.ndarray, shift: Shift, generator: np.random.Generator
) -> np.ndarray:
    """The frame under these conditions.

    Args:
        frame: UInt8["H W 3"] RGB.
        depth: Float32["H W"] metres.
        shift: conditions; `NEUTRAL` returns the frame itself.
        generator: of the sensor noise.

    Returns:
        UInt8["H W 3"].
    """
    if shift == NEUTRAL:
        return frame
    image: np.ndarray = frame.astype(np.float32)
    if shift.fog > 0:
        clear = cv2.exp(depth * np.float32(-shift.fog))[..., None]
        fog = np.array(shift.fog_colour, np.float32)
        image = image * clear + fog * (1 - clear)
    if shift.saturation != 1:
        grey = cv2.transform(image, np.array([[0.299, 0.587, 0.114]], np.float32))[..., None]
        image = grey + np.float32(shift.saturation) * (image - grey)
    gain = np.float32(shift.gain) * np.array(shift.cast, np.float32)
    image = np.clip(image * (gain / np.float32(255)), 0, 1)
    if shift.gamma != 1:
        image = cv2.pow(image, shift.gamma)
    image = image * np.float32(255)
    if shift.blur > 0.05:
        image = cv2.GaussianBlur(image, (0, 0), shift.blur)
    if shift.noise > 0:
        image += np.float32(shift.noise) * generator.standard_normal(image.shape, np.float32)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)

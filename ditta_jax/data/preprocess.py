"""From a decoded frame to the network's input (SPEC "Input"), bit for bit as the released program.

Both resizes work on 8 bits with OpenCV's fixed-point bilinear interpolation; only the result is
normalised, in float32.
"""

from __future__ import annotations

import cv2
import numpy as np

MEAN = np.array([123.675, 116.28, 103.53], np.float32)  # RGB, grey levels
STD = np.array([58.395, 57.12, 57.375], np.float32)


def scaled_size(size: tuple[int, int], scale: tuple[int, int] = (853, 480)) -> tuple[int, int]:
    """Size (H, W) after the first resize, which keeps the shape.

    `scale` bounds the longer and the shorter side, in pixels.
    """
    height, width = size
    factor = min(max(scale) / max(size), min(scale) / min(size))
    return max(int(height * factor + 0.5), 1), max(int(width * factor + 0.5), 1)


def input_size(
    size: tuple[int, int], scale: tuple[int, int] = (853, 480), divisor: int = 32
) -> tuple[int, int]:
    """Network input size (Hi, Wi) for frames of a size (H, W)."""
    height, width = scaled_size(size, scale)
    return -(-height // divisor) * divisor, -(-width // divisor) * divisor


def resized(
    frame: np.ndarray, scale: tuple[int, int] = (853, 480), divisor: int = 32
) -> np.ndarray:
    """A frame at the size of the network's input, not yet normalised.

    Args:
        frame: UInt8["H W 3"] RGB.
        scale: bounds of the longer and the shorter side, pixels.
        divisor: both sides are stretched to its next multiple.

    Returns:
        UInt8["Hi Wi 3"]; the frame itself where it has that size.
    """
    size = frame.shape[:2]
    for height, width in (scaled_size(size, scale), input_size(size, scale, divisor)):
        if frame.shape[:2] != (height, width):
            frame = cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR)
    return frame


def to_input(
    frame: np.ndarray, scale: tuple[int, int] = (853, 480), divisor: int = 32
) -> np.ndarray:
    """The network's input for a frame: `resized`, then `normalise`; Float32["Hi Wi 3"]."""
    return normalise(resized(frame, scale, divisor))


def normalise(image: np.ndarray) -> np.ndarray:
    """UInt8["... 3"] RGB to Float32["... 3"], minus `MEAN`, over `STD`."""
    return (image.astype(np.float32) - MEAN) / STD

"""Pictures small enough to be kept by the hundred: scaled down, encoded, as text."""

import base64
import io

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

MOST_PIXELS = 320 * 192  # of a picture in the page; larger frames are scaled down
_JPEG_QUALITY = 78


def size_in_page(size: tuple[int, int]) -> tuple[int, int]:
    """(h, w) of a frame of (H, W) in the page: of the same form, at most `MOST_PIXELS`."""
    H, W = size
    scale = min(1.0, (MOST_PIXELS / (H * W)) ** 0.5)
    return max(1, round(H * scale)), max(1, round(W * scale))


def photograph(frame: UInt8[np.ndarray, "H W 3"]) -> str:
    """A frame as a JPEG, base64."""
    picture = Image.fromarray(frame)
    if (size := size_in_page(frame.shape[:2])) != frame.shape[:2]:
        picture = picture.resize(size[::-1], Image.Resampling.BOX)
    return _encoded(picture, "jpeg", quality=_JPEG_QUALITY, optimize=True)


def map_of(values: UInt8[np.ndarray, "H W"]) -> str:
    """Labels or object ids as a grey PNG, base64: its grey is the value, nothing is mixed."""
    picture = Image.fromarray(np.ascontiguousarray(values, np.uint8))
    if (size := size_in_page(values.shape)) != values.shape:
        picture = picture.resize(size[::-1], Image.Resampling.NEAREST)
    return _encoded(picture, "png", compress_level=6)


def shares(values: Float[np.ndarray, "H W"]) -> str:
    """Values in [0, 1] as a grey JPEG, base64."""
    grey = np.rint(255 * np.clip(values, 0, 1)).astype(np.uint8)
    picture = Image.fromarray(grey)
    if (size := size_in_page(values.shape)) != values.shape:
        picture = picture.resize(size[::-1], Image.Resampling.BOX)
    return _encoded(picture, "jpeg", quality=_JPEG_QUALITY, optimize=True)


def _encoded(picture: Image.Image, kind: str, **how) -> str:
    file = io.BytesIO()
    picture.save(file, kind, **how)
    return base64.b64encode(file.getvalue()).decode()

"""Object ids as trackers and data sets write them into images, and the image of each frame."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int32

from ditta_jax.errors import UserError
from ditta_jax.names import kept_name

# Formats that keep every value. JPEG does not: its ids would be noise.
SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".gif", ".webp")
_ENDINGS = re.compile(r"[-_ .]?(masks?|seg|segmentation|ids?|instances?|objects?)$", re.IGNORECASE)
_INDEXED, _WIDE, _COLOURED = ("P", "L", "1"), ("I", "I;16", "I;16B", "I;16L"), ("RGB", "RGBA")


def files_of_frames(folder: Path, names: Sequence[str]) -> list[Path | None]:
    """Return the mask file of each frame in a folder, None where there is none.

    A file belongs to a frame if its name is the frame's; or the frame's and an ending such as
    `_mask`; or the same number (`0` and `00000`).

    Raises:
        UserError: two files belong to one frame, or the folder cannot be read.
    """
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({error.strerror})") from None
    by_name: dict[str, Path] = {}
    for reading in (_without_ending, _as_number, lambda stem: stem):  # the last one wins
        found: dict[str, Path] = {}
        for file in files:
            key = reading(file.stem)
            if key in found:
                raise UserError(f"{file}: the same frame as {found[key].name}; remove one of them")
            if key:
                found[key] = file
        by_name |= found
    return [_file_of(name, by_name) for name in names]


def read_ids(path: Path, size: tuple[int, int]) -> Int32[np.ndarray, "H W"]:
    """Read the id of every pixel: an index, a grey value of 8 or 16 bits, or a colour.

    A colour's id is its red, green and blue byte as one number; black is 0.

    Raises:
        UserError: unreadable, or of another size than the frames.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                if image.size[::-1] != tuple(size):
                    raise UserError(
                        f"{path}: size {image.size[::-1]}, the frames are {tuple(size)}"
                        " (height, width)"
                    )
                return _ids(image, path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such mask of a frame") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UserError(f"{path}: far larger than the frames, which are {tuple(size)}") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as an image of object ids ({error})") from None


def _ids(image, path: Path) -> Int32[np.ndarray, "H W"]:
    if image.mode in _INDEXED:
        return np.asarray(image, np.uint8).astype(np.int32)
    if image.mode in _WIDE:
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > np.iinfo(np.int32).max:
            raise UserError(f"{path}: object ids from {values.min()} to {values.max()}")
        return values.astype(np.int32)
    if image.mode in _COLOURED:
        red, green, blue = np.moveaxis(np.asarray(image, np.int32)[..., :3], -1, 0)
        return (red << 16) | (green << 8) | blue
    raise UserError(f"{path}: {image.mode} image, expected a palette, grey or colour one")


def _file_of(name: str, by_name: dict[str, Path]) -> Path | None:
    for key in (name, kept_name(name), _as_number(name)):
        if key and key in by_name:
            return by_name[key]
    return None


def _without_ending(stem: str) -> str:
    return _ENDINGS.sub("", stem)


def _as_number(stem: str) -> str:
    """A key that is equal for `0` and `00000`, and the name of no frame; empty if no number."""
    stem = _without_ending(stem)
    return f"\0{int(stem)}" if stem.isascii() and stem.isdigit() and len(stem) < 20 else ""

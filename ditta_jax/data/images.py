"""Decoding of frames, upright and exactly as OpenCV decodes, with errors for people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ditta_jax.data.image_files import (
    check_whole,
    format_of,
    header_of,
    open_picture,
    turn_of,
    upright,
)
from ditta_jax.errors import UserError
from ditta_jax.files import open_regular

if TYPE_CHECKING:
    from PIL.Image import Image

_FEW_COLOURS = 64  # of a picture with a label in each pixel

# What libjpeg says of files that are odd but whole.
_HARMLESS = ("SOS parameters", "JFIF revision", "Adobe color", "progression sequence")


def decode_frame(data: bytes, where: str, size: tuple[int, int] | None = None) -> np.ndarray:
    """Decode a colour frame.

    Grey and palette images become RGB; transparency is dropped. The pixel values are those of
    `cv2.imread`, turned upright as it and every viewer do (EXIF).

    Args:
        data: an image file's bytes.
        where: the file's name for messages.
        size: the expected (H, W), or None.

    Returns:
        UInt8["H W 3"] RGB.

    Raises:
        UserError: truncated, damaged, unreadable, other depth than 8 bits, other size.
    """
    kind = format_of(data, where)
    check_whole(data, where)
    if kind == "JPEG":
        image = _decode_jpeg(data, where)
    elif kind == "PNG":
        image = _decode_by_opencv(data, where)
    else:
        image = _decode_by_pillow(data, where)
    image = upright(image, turn_of(data, where))
    check_size(image.shape[:2], size, where, "a frame")
    return image


def _decode_jpeg(data: bytes, where: str) -> np.ndarray:
    """The same decoder as OpenCV's, but one that tells what it had to make up."""
    import simplejpeg

    try:
        kind = simplejpeg.decode_jpeg_header(data)[2]
        if kind not in ("CMYK", "YCCK"):
            return simplejpeg.decode_jpeg(data)
        simplejpeg.decode_jpeg(data, "CMYK")
        return _decode_by_opencv(data, where)
    except ValueError as error:
        reason = " ".join(str(error).split())
    if any(words in reason for words in _HARMLESS):
        return _decode_by_opencv(data, where)
    if "remature end" in reason:
        raise UserError(f"{where}: the image is truncated; copy it again")
    raise UserError(f"{where}: the image is damaged ({reason}); copy it again")


def _decode_by_opencv(data: bytes, where: str) -> np.ndarray:
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION | cv2.IMREAD_ANYDEPTH
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise UserError(f"{where}: the image does not decode: {error.err}") from error
    if image is None:
        raise UserError(f"{where}: the image does not decode; copy it again")
    _check_depth(8 * image.dtype.itemsize, where)
    return np.ascontiguousarray(image[..., ::-1])


def _decode_by_pillow(data: bytes, where: str) -> np.ndarray:
    header = header_of(data, where)
    _check_depth(header.bits if header.mode != "F" else 32, where)
    with open_picture(data, where) as picture:
        return np.array(load(picture, where).convert("RGB"))


def looks_like_masks(files: Sequence[Path]) -> bool:
    """Whether pictures are flat areas of few colours; three of them are looked at."""
    some = [files[place] for place in sorted({0, len(files) // 2, len(files) - 1})] if files else []
    return bool(some) and all(map(_is_flat, some))


def _is_flat(file: Path) -> bool:
    try:
        with open_regular(file) as opened:
            data = opened.read()
        if format_of(data, str(file)) == "JPEG":
            return False
        with open_picture(data, str(file)) as picture:
            return load(picture, str(file)).convert("RGB").getcolors(_FEW_COLOURS) is not None
    except (UserError, OSError):  # whoever uses it will say so
        return False


def load(picture: Image, where: str) -> Image:
    """Read a picture's pixels.

    Raises:
        UserError: they are damaged.
    """
    try:
        picture.load()
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError) as error:
        raise UserError(f"{where}: the image is damaged ({error}); copy it again") from error
    return picture


def _check_depth(bits: int, where: str) -> None:
    if bits > 8:
        raise UserError(f"{where}: {bits} bits per value; save it with 8 bits")


def check_size(found: tuple[int, int], size: tuple[int, int] | None, where: str, what: str) -> None:
    """Raise UserError unless a picture has the expected size (H, W), if one is expected."""
    if size is not None and tuple(found) != tuple(size):
        raise UserError(
            f"{where}: {what} of {found[0]}x{found[1]} (rows x columns),"
            f" expected {size[0]}x{size[1]}"
        )


def shown_as_stored(data: bytes, where: str) -> bool:
    """Whether any program that reads JPEG and PNG sees the frame that `decode_frame` gives."""
    return format_of(data, where) in ("JPEG", "PNG") and turn_of(data, where) == 1


def upright_encoding(data: bytes, where: str) -> bytes:
    """JPEG or PNG bytes which decode to the frame without a word on orientation."""
    return data if shown_as_stored(data, where) else encode_png(decode_frame(data, where))


def encode_png(image: np.ndarray) -> bytes:
    """PNG bytes of UInt8["H W 3"] RGB or UInt8["H W"]; fast compression."""
    return _encode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 3])


def encode_jpeg(image: np.ndarray, quality: int = 95) -> bytes:
    """JPEG bytes of UInt8["H W 3"] RGB."""
    return _encode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])


def _encode(suffix: str, image: np.ndarray, settings: list[int]) -> bytes:
    if image.ndim == 3:
        image = np.ascontiguousarray(image[..., ::-1])
    done, data = cv2.imencode(suffix, image, settings)
    if not done:
        raise ValueError(f"cannot encode an array of shape {image.shape} as {suffix}")
    return data.tobytes()

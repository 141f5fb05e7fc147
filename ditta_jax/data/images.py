"""Decoding of encoded frames and masks, exactly as OpenCV decodes, with errors for people.

A damaged file is refused even where the decoders would fill the missing rows with grey: a frame
or a label map is complete or it is an error.
"""

from __future__ import annotations

import io

import cv2
import numpy as np

from ditta_jax.errors import UserError

_JPEG = b"\xff\xd8\xff"
_PNG = b"\x89PNG\r\n\x1a\n"


def _check_complete(data: bytes, where: str) -> None:
    """Raises UserError if the bytes are no whole JPEG or PNG file."""
    if not data:
        raise UserError(f"{where}: the file is empty")
    if data.startswith(_JPEG):
        complete = b"\xff\xd9" in data[-1024:]  # some cameras pad after the end marker
    elif data.startswith(_PNG):
        complete = b"IEND" in data[-1024:]
    else:
        raise UserError(f"{where}: neither JPEG nor PNG; convert it")
    if not complete:
        raise UserError(f"{where}: the image is truncated; copy it again")


def _check_depth(image: np.ndarray, where: str) -> None:
    if image.dtype != np.uint8:
        raise UserError(f"{where}: {8 * image.dtype.itemsize} bits per value; save it with 8 bits")


def _check_size(
    found: tuple[int, int], size: tuple[int, int] | None, where: str, what: str
) -> None:
    if size is not None and found != size:
        raise UserError(
            f"{where}: {what} of {found[0]}x{found[1]} (rows x columns),"
            f" expected {size[0]}x{size[1]}"
        )


def decode_frame(data: bytes, where: str, size: tuple[int, int] | None = None) -> np.ndarray:
    """Decodes a colour frame.

    Grey and palette images become RGB; transparency is dropped. The pixel values are those of
    `cv2.imread`, except that a camera's orientation tag is ignored, so that a mask fits.

    Args:
      data: a JPEG or PNG file's bytes.
      where: the file's name for messages.
      size: the expected (H, W), or None.

    Returns:
      UInt8["H W 3"] RGB.

    Raises:
      UserError: truncated, unreadable, other depth than 8 bits, other size.
    """
    _check_complete(data, where)
    image = _decode(
        data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION | cv2.IMREAD_ANYDEPTH, where
    )
    _check_depth(image, where)
    _check_size(image.shape[:2], size, where, "a frame")
    return np.ascontiguousarray(image[..., ::-1])


def _decode(data: bytes, flags: int, where: str) -> np.ndarray:
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise UserError(f"{where}: the image does not decode: {error.err}") from error
    if image is None:
        raise UserError(f"{where}: the image does not decode; copy it again")
    return image


def decode_mask(data: bytes, where: str, size: tuple[int, int] | None = None) -> np.ndarray:
    """Decodes a label map: a grey PNG's values, a palette PNG's indices.

    Args:
      data: a PNG file's bytes.
      where: the file's name for messages.
      size: the expected (H, W), or None.

    Returns:
      UInt8["H W"], values as stored.

    Raises:
      UserError: truncated, unreadable, colour or 16-bit image, other size.
    """
    from PIL import Image, UnidentifiedImageError

    _check_complete(data, where)
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.mode not in ("L", "P", "1"):
                raise UserError(
                    f"{where}: a mask must be an 8-bit grey or palette PNG, not mode {image.mode}"
                )
            # Below 8 bits PIL spreads grey values over 0..255; the stored values are indices.
            bits = data[24] if image.mode in ("L", "1") and data.startswith(_PNG) else 8
            values = np.array(image, dtype=np.uint8)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{where}: the mask does not decode: {error}") from error
    if image.mode == "L" and bits < 8:
        values //= np.uint8(255 // (2**bits - 1))
    _check_size(values.shape, size, where, "a mask")
    return values


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

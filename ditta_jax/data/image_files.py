"""What an encoded picture is: its format, whether all of it is there, which way up it is shown.

A damaged file is refused even where decoders would fill what is missing with grey: a frame or a
label map is complete or it is an error.
"""

from __future__ import annotations

import contextlib
import io
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ditta_jax.errors import UserError
from ditta_jax.files import open_regular

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp")

_PNG = b"\x89PNG\r\n\x1a\n"
_STARTS = {
    b"\xff\xd8\xff": "JPEG",
    _PNG: "PNG",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
}
_ORIENTATION = 0x0112  # of EXIF and TIFF
_BITS_PER_SAMPLE = 0x0102  # of TIFF
_EXIF_LIES_WITHIN = 1 << 18  # bytes; markers before the picture of a JPEG, thumbnail included


class Header(NamedTuple):
    """What a file says of itself before its pixels.

    Attributes:
        format: "JPEG", "PNG", "BMP", "TIFF" or "WEBP".
        size: (H, W) as shown.
        stored: (H, W) as stored.
        orientation: 1 to 8 as EXIF counts them; 1 is upright.
        turn: the same for what decoders give: Pillow turns TIFF files itself.
        mode: Pillow's name of the kind of pixels.
        bits: per value.
    """

    format: str
    size: tuple[int, int]
    stored: tuple[int, int]
    orientation: int
    turn: int
    mode: str
    bits: int


def format_of(data: bytes, where: str) -> str:
    """The format's name; UserError if it is none that is read here.

    Args:
        data: the file, or its first bytes.
        where: the file's name for messages.
    """
    if not data:
        raise UserError(f"{where}: the file is empty")
    for start, name in _STARTS.items():
        if data.startswith(start):
            return name
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    raise UserError(f"{where}: neither JPEG nor PNG, BMP, TIFF or WebP; convert it")


def check_whole(data: bytes, where: str) -> None:
    """Raise UserError where a file's own lengths and checksums say that it is damaged.

    Of JPEG, BMP and TIFF only decoding tells; see `images`.
    """
    kind = format_of(data, where)
    if kind == "PNG":
        _check_png(data, where)
    elif kind == "WEBP" and len(data) < 8 + int.from_bytes(data[4:8], "little"):
        raise UserError(f"{where}: the image is truncated; copy it again")


def _check_png(data: bytes, where: str) -> None:
    """Walk the chunks: each has its length before it and its checksum after it."""
    place = len(_PNG)
    while True:
        length, kind = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        end = place + 8 + length
        if end + 4 > len(data):
            raise UserError(f"{where}: the image is truncated; copy it again")
        if zlib.crc32(data[place + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            raise UserError(f"{where}: the image is damaged (checksum); copy it again")
        if kind == b"acTL":
            raise UserError(f"{where}: an animation; expected one picture per file")
        if kind == b"IEND":
            return
        place = end + 4


def open_picture(data: bytes, where: str) -> Image:
    """Pillow's picture, its pixels not read yet.

    Raises:
        UserError: not a picture, or several in one file.
    """
    from PIL import Image, UnidentifiedImageError

    kind = format_of(data, where)
    try:
        with _warnings_are_errors():
            picture = Image.open(io.BytesIO(data), formats=[kind])
            count = getattr(picture, "n_frames", 1)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError) as error:
        raise UserError(f"{where}: the image does not decode; copy it again") from error
    except UserWarning as error:
        raise UserError(f"{where}: the image is damaged ({error}); copy it again") from error
    except Image.DecompressionBombError as error:
        raise UserError(f"{where}: {error}") from error
    if count > 1 and kind in ("TIFF", "WEBP"):
        raise UserError(f"{where}: {count} pictures in one file; expected one per file")
    return picture


@contextlib.contextmanager
def _warnings_are_errors() -> Iterator[None]:
    """Pillow only warns of some damage."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield


def read_header(file: Path, where: str = "") -> Header:
    """Format, size and orientation of a file; reads its first bytes only where that is enough.

    Raises:
        UserError: not readable, or not a picture.
    """
    where = where or str(file)
    try:
        with open_regular(file) as opened:
            head = opened.read(_EXIF_LIES_WITHIN)
            if format_of(head, where) in ("TIFF", "WEBP"):  # they keep it anywhere
                head += opened.read()
    except OSError as error:
        raise UserError(f"{where}: cannot read it: {error.strerror}") from error
    return header_of(head, where)


def header_of(data: bytes, where: str) -> Header:
    """`read_header` of bytes in memory."""
    picture = open_picture(data, where)
    kind = format_of(data, where)
    given = (picture.height, picture.width)
    orientation = _orientation(picture, data, kind)
    bits = 8
    if kind == "PNG":
        bits = data[24]
    elif kind == "TIFF":
        bits = max(_tiff_bits(picture))
    turn = 1 if kind == "TIFF" else orientation
    size = given[::-1] if turn >= 5 else given
    stored = size[::-1] if orientation >= 5 else size
    return Header(kind, size, stored, orientation, turn, picture.mode, bits)


def turn_of(data: bytes, where: str) -> int:
    """1 to 8: how decoded pixels are to be turned to be upright; 1 where nothing is said."""
    kind = format_of(data, where)
    if kind == "TIFF" or not _may_be_turned(data, kind):
        return 1
    return _orientation(open_picture(data, where), data, kind)


def _may_be_turned(data: bytes, kind: str) -> bool:
    """Whether it is worth the time to look closer."""
    if kind == "JPEG":
        return b"Exif\0\0" in data[:_EXIF_LIES_WITHIN]
    if kind == "PNG":
        pixels = data.find(b"IDAT")
        return any(
            name in data[:pixels] or name in data[-65536:] for name in (b"eXIf", b"profile type")
        )
    return kind in ("TIFF", "WEBP")


def _orientation(picture: Image, data: bytes, kind: str) -> int:
    if not _may_be_turned(data, kind):
        return 1
    try:
        picture.info.pop("xmp", None)  # Pillow looks there too; viewers do not
        with _warnings_are_errors():
            found = picture.getexif().get(_ORIENTATION, 1)
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, UserWarning):
        return 1  # a broken block of EXIF is nothing that a picture needs
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def _tiff_bits(picture: Image) -> tuple[int, ...]:
    bits = getattr(picture, "tag_v2", {}).get(_BITS_PER_SAMPLE, (1,))
    return bits if isinstance(bits, tuple) else (bits,)


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Pixels as they are to be looked at.

    Args:
        pixels: ["H W ..."] as stored.
        orientation: 1 to 8 as EXIF counts them: 2 to 4 mirrored, turned by 180 degrees, upside
            down; 5 to 8 the same with rows and columns exchanged.
    """
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    rows, columns = {
        1: (1, 1),
        2: (1, -1),
        3: (-1, -1),
        4: (-1, 1),
        5: (1, 1),
        6: (1, -1),
        7: (-1, -1),
        8: (-1, 1),
    }[orientation]
    return np.ascontiguousarray(pixels[::rows, ::columns])

"""What is wrong with frames and masks, found at the start and without decoding all of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ditta_jax.data.image_files import read_header
from ditta_jax.data.images import decode_frame
from ditta_jax.data.masks import check_lossless, sizes_differ
from ditta_jax.errors import UserError

# Where a whole file of a format ends; what does not is decoded to be sure.
_ENDS = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}
_TAIL = 64  # bytes
_CHEAP = 1 << 24  # pixels of masks that are decoded in well under a second
_FEW = 5


def fault_of_frame(file: Path, size: tuple[int, int] | None) -> str:
    """Say what is wrong with a frame's file; empty if nothing is.

    Its header and its end are read; all of it where these leave doubt.

    Args:
        file: the frame.
        size: (H, W) it must have, upright; None: any.
    """
    try:
        header = read_header(file)
        if size is not None and header.size != size:
            (height, width), (rows, columns) = header.size, size
            return (
                f"{file}: a frame of {height}x{width} (rows x columns), expected {rows}x{columns}"
                " as the first one has"
            )
        if not _ends_well(file, header.format) or header.bits > 8:
            decode_frame(file.read_bytes(), str(file))
    except UserError as error:
        return str(error)
    except OSError as error:
        return f"{file}: cannot read it: {error.strerror}"
    return ""


def fault_of_mask(file: Path, frame: Path) -> str:
    """Say what is wrong with a mask's form and size; empty if nothing is, or its frame is."""
    try:
        mask = read_header(file)
        check_lossless(_start(file), str(file))
    except UserError as error:
        return str(error)
    except OSError as error:
        return f"{file}: cannot read it: {error.strerror}"
    try:
        other = read_header(frame)
    except UserError:
        return ""
    differs = sizes_differ(mask.size, other.size, other.stored)
    return f"{file}: {differs}" if differs else ""


def sampled(indices: Sequence[int], size: tuple[int, int] | None) -> list[int]:
    """All of the indices where reading so many masks is cheap, else a few, evenly spread."""
    pixels = size[0] * size[1] if size is not None else _CHEAP
    if len(indices) * pixels <= _CHEAP or len(indices) <= _FEW:
        return list(indices)
    return [indices[round(i * (len(indices) - 1) / (_FEW - 1))] for i in range(_FEW)]


def _ends_well(file: Path, kind: str) -> bool:
    if kind not in _ENDS:
        return False
    with open(file, "rb") as opened:
        length = opened.seek(0, 2)
        opened.seek(max(length - _TAIL, 0))
        return _ENDS[kind] in opened.read()


def _start(file: Path) -> bytes:
    """As many bytes as tell how values are kept; all of a TIFF, whose tags lie anywhere."""
    with open(file, "rb") as opened:
        head = opened.read(4096)
        return head + opened.read() if head[:2] in (b"II", b"MM") else head

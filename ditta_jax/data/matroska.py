"""Whether a Matroska or WebM file is whole, by the lengths that its elements state.

Readers of this format jump over what they do not understand and stop in silence where a file
stops. Only the heads of elements are read here, a few dozen bytes per frame.
Format: RFC 8794 (EBML), RFC 9559 (Matroska).
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

_EBML = 0x1A45DFA3
_SEGMENT = 0x18538067
_CLUSTER = 0x1F43B675
_VOID, _CRC = 0xEC, 0xBF
_AT_TOP = {0x114D9B74, 0x1549A966, 0x1654AE6B, _CLUSTER, 0x1C53BB6B}
_AT_TOP |= {0x1941A469, 0x1043A770, 0x1254C367, _VOID, _CRC}
_IN_CLUSTER = {0xE7, 0xA3, 0xA0, 0xAB, 0xA7, 0x5854, 0xAF, _VOID, _CRC}


def first_fault(path: Path) -> str:
    """Where a file is not whole, in words; empty where it is, or is no Matroska file."""
    with open(path, "rb") as file:
        end = file.seek(0, 2)
        file.seek(0)
        head = _element(file)
        if head is None or head[0] != _EBML or head[1] is None:
            return ""
        file.seek(head[1], 1)
        segment = _element(file)
        if segment is None or segment[0] != _SEGMENT:
            return f"no video after byte {file.tell()}"
        if segment[1] is not None:
            stated = file.tell() + segment[1]
            if stated > end:
                return f"cut off: {end} of {stated} bytes are there"
            end = stated
        return _walk(file, end)


def _walk(file: BinaryIO, end: int) -> str:
    """Go from element to element; those of a cluster of unknown length count as at the top."""
    while (start := file.tell()) < end:
        element = _element(file)
        if element is None:
            return f"damaged or cut off at byte {start}"
        name, length = element
        if name not in _AT_TOP and name not in _IN_CLUSTER:
            return f"damaged at byte {start} of {end}"
        if name == _CLUSTER:
            continue  # into it: its blocks are the next elements
        if length is None:
            return f"damaged at byte {start} of {end}"
        if file.tell() + length > end:
            return f"cut off at byte {end} within a frame"
        file.seek(length, 1)
    return ""


def _element(file: BinaryIO) -> tuple[int, int | None] | None:
    """Name and length of the next element; the length is None where it is unknown."""
    name = _number(file, most=4, keep_marker=True)
    if name is None:
        return None
    length = _number(file, most=8, keep_marker=False)
    if length is None:
        return None
    value, size = length
    return name[0], None if value == (1 << 7 * size) - 1 else value


def _number(file: BinaryIO, most: int, keep_marker: bool) -> tuple[int, int] | None:
    """A number of variable size: as many bytes as the first one has leading zeros, plus one."""
    first = file.read(1)
    if not first or first[0] == 0:
        return None
    size = 9 - first[0].bit_length()
    rest = file.read(size - 1)
    if size > most or len(rest) < size - 1:
        return None
    value = first[0] if keep_marker else first[0] & ((1 << (8 - size)) - 1)
    return int.from_bytes(bytes([value]) + rest, "big"), size

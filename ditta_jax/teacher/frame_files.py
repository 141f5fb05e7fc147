"""Frames of a request as image files of their own folder: hard links if possible, else copies."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from ditta_jax.files import read_regular, write_atomically

MOST_BYTES = 1 << 30  # of one encoded frame
_SUFFIXES = {b"\xff\xd8\xff": ".jpg", b"\x89PNG\r\n\x1a\n": ".png"}


class Frames(Protocol):
    """The frames of a video as encoded pictures: what a request is made of."""

    def __len__(self) -> int: ...  # noqa: D105
    def file(self, index: int) -> Path | None: ...  # noqa: D102
    def encoded(self, index: int) -> bytes: ...  # noqa: D102


class FrameFile(NamedTuple):
    """What a frame's encoded bytes are called.

    Attributes:
        name: file name in an entry, 00000.jpg or 00000.png and so on.
        digest: SHA-256 of the bytes.
    """

    name: str
    digest: str


def describe_frames(frames: Frames, count: int) -> tuple[FrameFile, ...]:
    """Read the encoded bytes of the first `count` frames; ValueError if not JPEG or PNG."""
    described = []
    for t in range(count):
        data = frames.encoded(t)
        name = f"{t:05d}{_suffix(data)}"
        described.append(FrameFile(name, hashlib.sha256(data).hexdigest()))
    return tuple(described)


def place_frames(folder: Path, frames: Frames, described: Sequence[FrameFile]) -> None:
    """Put the frames into `folder`, leaving files that are already there and right.

    A symbolic link would not survive a copy of the cache, so links are hard ones; across file
    systems, and where the system forbids them, the bytes are copied.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for t, (name, digest) in enumerate(described):
        path = folder / name
        if has_digest(path, digest):
            continue
        original = frames.file(t)
        if original is None or not _linked(original, path, digest):
            write_atomically(path, frames.encoded(t))


def has_digest(path: Path, digest: str) -> bool:
    """Say whether a file, not a link to one, is there and has this SHA-256."""
    try:
        return hashlib.sha256(read_regular(path, MOST_BYTES)).hexdigest() == digest
    except (OSError, ValueError):
        return False


def _linked(original: Path, path: Path, digest: str) -> bool:
    try:
        path.unlink(missing_ok=True)
        os.link(Path(original).resolve(), path)
    except OSError:  # other file system, or links to others' files are forbidden
        return False
    if has_digest(path, digest):
        return True
    path.unlink(missing_ok=True)  # never written through: it is somebody's original
    return False


def _suffix(data: bytes) -> str:
    for magic, suffix in _SUFFIXES.items():
        if data.startswith(magic):
            return suffix
    raise ValueError("a frame is neither JPEG nor PNG")

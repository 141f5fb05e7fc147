"""Videos as records: frames that decode when asked for, and their labels."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ditta_jax.data.images import decode_frame, encode_png, upright_encoding

if TYPE_CHECKING:
    import numpy as np


class FrameSequence(ABC):
    """Frames of a video, decoded when asked for: UInt8["H W 3"] RGB."""

    @abstractmethod
    def __len__(self) -> int:
        """T, the number of frames."""

    @abstractmethod
    def __getitem__(self, index: int) -> np.ndarray:
        """Frame `index`, 0 ≤ index < T; IndexError outside, UserError if it does not decode."""

    @abstractmethod
    def frame_name(self, index: int) -> str:
        """A name without folder and suffix."""

    def file(self, index: int) -> Path | None:
        """The JPEG or PNG file which is this frame, or None."""
        return None

    def encoded(self, index: int) -> bytes:
        """JPEG or PNG bytes which decode to this frame."""
        return encode_png(self[index])

    def faults(self) -> list[str]:
        """What can be known to be wrong before frames are decoded one by one, a line each."""
        return []

    def digest(self) -> str:
        """SHA-256 that is another one if a frame or its name is; nothing is decoded for it."""
        total = hashlib.sha256()
        for index in range(len(self)):
            total.update(f"{self.frame_name(index)}\n".encode())
            total.update(hashlib.sha256(self.encoded(index)).digest())
        return total.hexdigest()


class LabelSequence(ABC):
    """Label maps of a video: UInt8["H W"], class index or 255 (ignore)."""

    @abstractmethod
    def __len__(self) -> int:
        """T, as many as frames."""

    @abstractmethod
    def __getitem__(self, index: int) -> np.ndarray | None:
        """Label map of frame `index`, None where it has none.

        UserError if it does not decode or has a wrong value.
        """

    def labelled(self, index: int) -> bool:
        """Whether frame `index` has a label map, without reading it."""
        return True

    def faults(self) -> list[str]:
        """What can be known to be wrong before label maps are read one by one, a line each."""
        return []

    def digest(self, start: int = 0) -> str:
        """SHA-256 that is another one if a label map from `start` on is."""
        total = hashlib.sha256()
        for index in range(start, len(self)):
            label = self[index]
            total.update(b"none" if label is None else hashlib.sha256(label.tobytes()).digest())
        return total.hexdigest()


class Video(NamedTuple):
    """One video.

    Attributes:
        name: unique within its source, fit for a file name.
        size: (H, W) in pixels of every frame.
        frames: T frames.
        labels: T label maps, or None where there are none at all.
        warnings: what a person has to know of it, a line each: lost frames, for one.
    """

    name: str
    size: tuple[int, int]
    frames: FrameSequence
    labels: LabelSequence | None
    warnings: tuple[str, ...] = ()

    @property
    def dense(self) -> bool:
        """Whether every frame has labels; consistency over time (mVC) is scored only then."""
        return self.labels is not None and all(map(self.labels.labelled, range(len(self.labels))))


class Videos(Sequence[Video]):
    """Videos that are opened one by one, when asked for.

    Attributes:
        names: of all videos, without opening them.
    """

    def __init__(self, names: Sequence[str], opener: Callable[[int], Video]):
        """`opener(index)` gives the video of that index."""
        self.names = tuple(names)
        self._places = {name: place for place, name in enumerate(self.names)}
        self._opener = opener

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index):
        if isinstance(index, slice):
            raise TypeError("videos are opened one by one; slices are not supported")
        return self._opener(check_index(index, len(self), "video"))

    def named(self, name: str) -> Video:
        """The video of that name, opened."""
        return self[self._places[name]]


def said_of_gaps(name: str, without: int, frames: int) -> tuple[str, ...]:
    """What is said of a video of whose frames some have no labels."""
    if not without:
        return ()
    return (
        f"{name}: {without} of {frames} frames have no mask: scored on the others, mVC left out",
    )


class EncodedFrames(FrameSequence):
    """Frames from a random-access store of JPEG or PNG bytes."""

    def __init__(
        self, store: Sequence[bytes], names: Sequence[str], size: tuple[int, int], where: str
    ):
        """`where` names the store in error messages."""
        self._store, self._names, self._size, self._where = store, names, size, where

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> np.ndarray:
        data = self._store[check_index(index, len(self))]
        return decode_frame(data, f"{self._where}: frame {index}", self._size)

    def frame_name(self, index: int) -> str:
        """See `FrameSequence`."""
        return self._names[check_index(index, len(self))]

    def encoded(self, index: int) -> bytes:
        """See `FrameSequence`."""
        where = f"{self._where}: frame {index}"
        return upright_encoding(self._store[check_index(index, len(self))], where)


def check_index(index: int, length: int, what: str = "frame") -> int:
    """The index itself; IndexError unless 0 ≤ index < length (no counting from the end)."""
    if not 0 <= index < length:
        raise IndexError(f"{what} {index} of {length}")
    return index

"""Videos from one file, decoded by PyAV in order of presentation, upright.

Frames are decoded one after the other and only the last few are kept, so a long video takes no
more memory than a short one; going back further starts again at the nearest key frame.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Generator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ditta_jax.data.video import FrameSequence, Video, check_index
from ditta_jax.data.video_scan import Scan, decoded, open_stream, scan
from ditta_jax.errors import UserError
from ditta_jax.files import digest_of_file

WINDOW = 32  # frames kept
_FAR = 64  # frames; a jump further ahead seeks


def open_video_file(
    path: str | Path,
    fps: float = 0.0,
    max_frames: int = 0,
    window: int = WINDOW,
    damaged: str = "refuse",
) -> Video:
    """Open a video file; the whole file is scanned once for its frames' times and damage.

    Args:
        path: any container and codec that PyAV reads.
        fps: frames per second to keep, at most the file's own rate; 0: every frame.
        max_frames: 0: all.
        window: decoded frames kept in memory.
        damaged: "refuse" a damaged file, or "keep" its good frames, with a warning.

    Returns:
        an unlabelled `Video` named like the file.

    Raises:
        UserError: no such file, no video in it, no frames, not readable, damaged.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise UserError(f"{path}: no such video file; check data.path")
    if fps < 0:
        raise UserError(f"data.fps: {fps} is negative; give frames per second, or 0 for all")
    found = scan(path, 0 if fps else max_frames)
    warnings: tuple[str, ...] = ()
    if found.damage:
        if damaged != "keep" or not found.good:
            raise UserError(
                f"{path}: damaged video: {found.damage}. Copy it again, or use what is good by"
                " data.damaged=keep"
            )
        warnings = (f"{path.name}: damaged video: {found.damage}",)
    chosen = _kept([found.seconds[number] for number in found.good], fps)[: max_frames or None]
    kept = [found.good[number] for number in chosen]
    frames = VideoFileFrames(path, kept, found, window)
    return Video(path.stem, found.size, frames, None, warnings)


def _kept(seconds: Sequence[Fraction], fps: float) -> list[int]:
    """Numbers of the frames to keep: the first one at or after every multiple of 1 / fps."""
    if fps == 0:
        return list(range(len(seconds)))
    rate = Fraction(fps).limit_denominator(100_000)
    kept: list[int] = []
    due = 0
    for number, second in enumerate(seconds):
        passed = int((second - seconds[0]) * rate + Fraction(1, 1000))  # time stamps are rounded
        if passed >= due:
            kept.append(number)
            due = passed + 1
    return kept


class VideoFileFrames(FrameSequence):
    """Frames of a video file; reading on is fast, going back seeks to a key frame."""

    def __init__(
        self,
        path: Path,
        kept: Sequence[int],
        found: Scan,
        window: int = WINDOW,
    ):
        """`kept` are the numbers in the file of the frames that count."""
        self._path, self._kept = path, kept
        self._size, self._turn, self._stamps = found.size, found.turn, found.stamps
        self._numbers = {stamp: number for number, stamp in enumerate(found.stamps)}
        self._seekable = None not in self._numbers and len(self._numbers) == len(found.stamps)
        self._cache: OrderedDict[int, np.ndarray] = OrderedDict()
        self._window = max(window, 1)
        self._stream: Generator[tuple[int, Any], None, None] | None = None
        self._next = 0  # number in the file of the frame that the stream gives next

    def __len__(self) -> int:
        return len(self._kept)

    def frame_name(self, index: int) -> str:
        """See `FrameSequence`."""
        return f"{check_index(index, len(self)):05d}"

    def __getitem__(self, index: int) -> np.ndarray:
        number = self._kept[check_index(index, len(self))]
        if number in self._cache:
            return self._cache[number]
        near = number <= self._next + _FAR or not self._seekable
        if self._stream is not None and self._next <= number and near:
            image = self._read_on(number)
        else:
            self._open_at(number if self._seekable else 0)
            image = self._read_on(number)
        if image is None and self._seekable:  # some files seek to behind the wanted frame
            self._open_at(0)
            image = self._read_on(number)
        if image is None:
            raise UserError(f"{self._path}: frame {number} is gone; the file changed meanwhile")
        return image

    def digest(self) -> str:
        """See `FrameSequence`; of the file's bytes and the numbers of the kept frames."""
        return hashlib.sha256(f"{digest_of_file(self._path)} {self._kept}".encode()).hexdigest()

    def close(self) -> None:
        """Close the file; reading on opens it again."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _open_at(self, number: int) -> None:
        self.close()
        self._stream = self._from(number)
        self._next = 0

    def _from(self, number: int) -> Generator[tuple[int, Any], None, None]:
        """Frames with their numbers from a key frame at or before the given one."""
        container, stream = open_stream(self._path)
        with container:
            if number > 0:
                container.seek(self._stamps[number], stream=stream)
            for count, frame in enumerate(decoded(container, stream)):
                if not self._seekable:
                    yield count, frame
                elif frame.pts in self._numbers:
                    yield self._numbers[frame.pts], frame

    def _read_on(self, number: int) -> np.ndarray | None:
        """Decode up to a frame; None if it does not come."""
        assert self._stream is not None
        for found, frame in self._stream:
            self._next = found + 1
            if found == number:
                return self._keep(number, frame)
            if found > number:
                break
        return None

    def _keep(self, number: int, frame: Any) -> np.ndarray:
        image = self._turn.apply(frame.to_ndarray(format="rgb24"))
        if image.shape[:2] != self._size:
            raise UserError(
                f"{self._path}: frame {number} is {image.shape[0]}x{image.shape[1]} (rows x"
                f" columns), the first {self._size[0]}x{self._size[1]}; convert it to one size"
            )
        image.setflags(write=False)  # it may be handed out again
        self._cache[number] = image
        while len(self._cache) > self._window:
            self._cache.popitem(last=False)
        return image

"""Videos from one file, decoded by PyAV in order of presentation.

A rotation stored in the container is ignored: frames come as they are coded. Frames are decoded
one after the other and only the last few are kept, so a long video takes no more memory than a
short one; going back further starts again at the nearest key frame.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ditta_jax.data.video import FrameSequence, Video, check_index
from ditta_jax.errors import UserError
from ditta_jax.files import digest_of_file

if TYPE_CHECKING:
    import av

WINDOW = 32  # frames kept
_FAR = 64  # frames; a jump further ahead seeks


def open_video_file(
    path: str | Path, fps: float = 0.0, max_frames: int = 0, window: int = WINDOW
) -> Video:
    """Opens a video file; the whole file is scanned once for its frames' times.

    Args:
      path: any container and codec that PyAV reads.
      fps: frames per second to keep, at most the file's own rate; 0: every frame.
      max_frames: 0: all.
      window: decoded frames kept in memory.

    Returns:
      an unlabelled `Video` named like the file.

    Raises:
      UserError: no such file, no video in it, no frames, not readable.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise UserError(f"{path}: no such video file; check data.path")
    if fps < 0:
        raise UserError(f"data.fps: {fps} is negative; give frames per second, or 0 for all")
    times, size = _scan(path, 0 if fps else max_frames)
    kept = _kept(times.seconds, fps)[: max_frames or None]
    frames = VideoFileFrames(path, kept, times.stamps, size, window)
    return Video(path.stem, size, frames, None)


def _open(path: Path) -> tuple[Any, Any]:
    """The container and its first video stream."""
    import av

    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError) as error:
        reason = error.strerror or type(error).__name__
        raise UserError(f"{path}: PyAV cannot read this file as a video: {reason}") from error
    if not container.streams.video:
        container.close()
        raise UserError(f"{path}: there is no video stream in this file")
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    return container, stream


def _decoded(path: Path, container: Any, stream: Any) -> Iterator[av.VideoFrame]:
    """Frames in order of presentation from the container's position on."""
    import av

    try:
        yield from container.decode(stream)
    except (av.FFmpegError, OSError) as error:
        raise UserError(f"{path}: decoding fails, the file is damaged: {error}") from error


class _Times(NamedTuple):
    """Presentation times of a file's frames, in order.

    Attributes:
      stamps: in units of the stream's time base; None where the file has none.
      seconds: the same in seconds.
    """

    stamps: list[int | None]
    seconds: list[Fraction]


def _scan(path: Path, enough: int) -> tuple[_Times, tuple[int, int]]:
    """Times of the first `enough` frames (0: all) and the size (H, W)."""
    container, stream = _open(path)
    times = _Times([], [])
    size = (0, 0)
    with container:
        rate = stream.average_rate or Fraction(25)
        for frame in _decoded(path, container, stream):
            number = len(times.stamps)
            size = size if number else (frame.height, frame.width)
            times.stamps.append(frame.pts)
            if frame.pts is None or frame.time_base is None:
                times.seconds.append(number / rate)
            else:
                times.seconds.append(frame.pts * frame.time_base)
            if number + 1 == enough:
                break
    if not times.stamps:
        raise UserError(f"{path}: the video holds no frames")
    return times, size


def _kept(seconds: list[Fraction], fps: float) -> list[int]:
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
        kept: list[int],
        stamps: list[int | None],
        size: tuple[int, int],
        window: int = WINDOW,
    ):
        """`kept` are the numbers in the file of the frames that count."""
        self._path, self._kept, self._size = path, kept, size
        self._stamps = stamps
        self._numbers = {stamp: number for number, stamp in enumerate(stamps)}
        self._seekable = None not in self._numbers and len(self._numbers) == len(stamps)
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
        """Closes the file; reading on opens it again."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _open_at(self, number: int) -> None:
        self.close()
        self._stream = self._from(number)
        self._next = 0

    def _from(self, number: int) -> Generator[tuple[int, Any], None, None]:
        """Frames with their numbers from a key frame at or before the given one."""
        container, stream = _open(self._path)
        with container:
            if number > 0:
                container.seek(self._stamps[number], stream=stream)
            for count, frame in enumerate(_decoded(self._path, container, stream)):
                if not self._seekable:
                    yield count, frame
                elif frame.pts in self._numbers:
                    yield self._numbers[frame.pts], frame

    def _read_on(self, number: int) -> np.ndarray | None:
        """Decodes up to a frame; None if it does not come."""
        assert self._stream is not None
        for found, frame in self._stream:
            self._next = found + 1
            if found == number:
                return self._keep(number, frame)
            if found > number:
                break
        return None

    def _keep(self, number: int, frame: Any) -> np.ndarray:
        image = frame.to_ndarray(format="rgb24")
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

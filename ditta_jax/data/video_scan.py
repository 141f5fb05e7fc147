"""One look through a video file: when each frame is shown, which way up, and what is damaged.

A file is decoded once for this and the result remembered as long as the file stays as it is.
What tells of damage: packets that do not decode or are cut short, frames that the decoder had to
conceal, fewer packets than the file declares, a container whose lengths do not fit. Changed bytes
within a frame that still decode cannot be told from a strange picture.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ditta_jax.data import matroska
from ditta_jax.errors import UserError

if TYPE_CHECKING:
    import av

_NULL_FRAME = 16  # bytes; smaller packets of old codecs say "as before" and give no frame


class Scan(NamedTuple):
    """What is known of a file's frames, in order of presentation.

    Attributes:
        stamps: in units of the stream's time base; None where the file has none.
        seconds: the same in seconds.
        good: numbers of the frames that decode and rest on nothing damaged.
        size: (H, W), upright.
        turn: how decoded frames are to be turned.
        damage: what is lost, in words; empty: nothing.
    """

    stamps: tuple[int | None, ...]
    seconds: tuple[Fraction, ...]
    good: tuple[int, ...]
    size: tuple[int, int]
    turn: Turn
    damage: str


class Turn(NamedTuple):
    """From coded to shown frames: exchange rows and columns, then mirror either."""

    transpose: bool = False
    rows: bool = False
    columns: bool = False

    def apply(self, image: np.ndarray) -> np.ndarray:
        """The image ["H W 3"] as it is shown."""
        if self.transpose:
            image = image.swapaxes(0, 1)
        return np.ascontiguousarray(image[:: -1 if self.rows else 1, :: -1 if self.columns else 1])


def scan(path: Path, enough: int = 0) -> Scan:
    """Look through the first `enough` frames of a file (0: all).

    Raises:
        UserError: not a video, or no frame of it decodes.
    """
    try:
        state = path.stat()
    except OSError as error:
        raise UserError(f"{path}: cannot read it: {error.strerror}") from error
    return _scan(path, state.st_size, state.st_mtime_ns, enough)


def open_stream(path: Path) -> tuple[Any, Any]:
    """The container and its first video stream; pictures of covers are no videos.

    Raises:
        UserError: not a video file.
    """
    import av

    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError) as error:
        raise UserError(f"{path}: {_why_closed(path, error)}") from error
    moving = [s for s in container.streams.video if not s.disposition & _cover()]
    if not moving:
        container.close()
        raise UserError(f"{path}: there is no video stream in this file")
    stream = moving[0]
    stream.thread_type = "AUTO"
    return container, stream


def _cover() -> Any:
    from av.stream import Disposition

    return Disposition.attached_pic


def _why_closed(path: Path, error: Exception) -> str:
    with open(path, "rb") as file:
        head = file.read(12)
    if head[4:8] in (b"ftyp", b"mdat", b"moov", b"wide", b"free"):
        return (
            "this video's index (moov) is missing or damaged: the file is cut off or its recording"
            " did not end; copy it again"
        )
    reason = getattr(error, "strerror", None) or type(error).__name__
    return f"PyAV cannot read this file as a video: {reason}"


class _Frame(NamedTuple):
    """A decoded frame without its pixels."""

    stamp: int | None
    second: Fraction | None
    key: bool
    corrupt: bool


class _Seen(NamedTuple):
    """What one pass over a file found.

    Attributes:
        frames: decoded ones.
        expected: stamps of packets that should give a frame.
        failed: stamps of packets that do not decode or are cut short.
        counts: "packets" that were read, and of them those "discarded" by an edit list.
    """

    frames: list[_Frame]
    expected: list[int | None]
    failed: list[int | None]
    counts: dict[str, int]


@functools.lru_cache(maxsize=4096)
def _scan(path: Path, length: int, changed: int, enough: int) -> Scan:
    container, stream = open_stream(path)
    with container:
        rate = stream.average_rate or Fraction(25)
        seen, first = _pass(container, stream, enough)
        if first is None:
            raise UserError(f"{path}: the video holds no frames that decode")
        declared = 0 if enough else stream.frames - seen.counts["discarded"]
        missing = 0 if enough else max(stream.frames - seen.counts["packets"], 0)
    turn = turn_of(first)
    size = (first.width, first.height) if turn.transpose else (first.height, first.width)
    seconds = tuple(
        frame.second if frame.second is not None else number / rate
        for number, frame in enumerate(seen.frames)
    )
    lost = _lost(seen)
    good = _good(seen, lost)
    fault = "" if enough and len(seen.frames) >= enough else matroska.first_fault(path)
    damage = ""
    if len(good) < len(seen.frames) or lost or missing or fault:
        total = max(len(seen.frames) + len(lost) + missing, declared)
        damage = _in_words(seen, seconds, good, total, fault)
    stamps = tuple(frame.stamp for frame in seen.frames)
    return Scan(stamps, seconds, good, size, turn, damage)


def _pass(container: Any, stream: Any, enough: int) -> tuple[_Seen, Any]:
    """Decode a file from its start, over what does not decode."""
    seen = _Seen([], [], [], {"packets": 0, "discarded": 0})
    first = None
    for frame in decoded(container, stream, seen):
        first = first if first is not None else frame
        second = None
        if frame.pts is not None and frame.time_base is not None:
            second = frame.pts * frame.time_base
        seen.frames.append(_Frame(frame.pts, second, frame.key_frame, frame.is_corrupt))
        if len(seen.frames) == enough:
            return _up_to(frame.pts, seen), first
    return seen, first


def _up_to(stamp: int | None, seen: _Seen) -> _Seen:
    """What is known where reading stopped early: later packets were on their way only."""
    if stamp is None:
        return seen._replace(expected=[], failed=[])
    return seen._replace(
        expected=[s for s in seen.expected if s is not None and s <= stamp],
        failed=[s for s in seen.failed if s is not None and s <= stamp],
    )


def decoded(container: Any, stream: Any, seen: _Seen | None = None) -> Iterator[av.VideoFrame]:
    """Frames in order of presentation from the container's position on, over what is damaged."""
    import av

    seen = seen or _Seen([], [], [], {"packets": 0, "discarded": 0})
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except (av.FFmpegError, OSError):  # the container is damaged here: what came is all
            seen.failed.append(None)
            packet = None
        if packet is not None and packet.size:
            _note(packet, stream, seen)
        try:
            yield from stream.decode(packet)
        except (av.FFmpegError, OSError):
            seen.failed.append(packet.pts if packet is not None else None)
        if packet is None:
            return


def _note(packet: Any, stream: Any, seen: _Seen) -> None:
    seen.counts["packets"] += 1
    if packet.is_discard:
        seen.counts["discarded"] += 1
        return
    hidden = stream.codec_context.name.startswith(("vp8", "libvpx")) and not _is_shown(packet)
    if packet.is_corrupt:
        seen.failed.append(packet.pts)
    if packet.size > _NULL_FRAME and not hidden:
        seen.expected.append(packet.pts)


def _is_shown(packet: Any) -> bool:
    """Whether a frame of VP8 is one to look at (RFC 6386, 9.1: bit 4)."""
    return bool(bytes(packet)[0] >> 4 & 1)


def _lost(seen: _Seen) -> list[int | None]:
    """Stamps of packets whose frames did not come.

    Those before the first frame that came are no loss: a cut at any place leaves such behind.
    """
    if len(seen.expected) <= len(seen.frames):
        return []
    came = {frame.stamp for frame in seen.frames}
    if None in came or None in seen.expected:
        return [None] * (len(seen.expected) - len(seen.frames)) if seen.failed else []
    first = seen.frames[0].stamp
    return [stamp for stamp in seen.expected if stamp not in came and stamp > first]  # type: ignore[operator]


def _good(seen: _Seen, lost: list[int | None]) -> tuple[int, ...]:
    """Numbers of frames that are whole and follow nothing broken since the last key frame."""
    broken_at = sorted(s for s in {*lost, *seen.failed} if s is not None)
    good, broken = [], False
    place = 0
    for number, frame in enumerate(seen.frames):
        here = frame.corrupt
        while (
            place < len(broken_at) and frame.stamp is not None and broken_at[place] <= frame.stamp
        ):
            here = here or broken_at[place] == frame.stamp
            broken = True
            place += 1
        if here:
            broken = True
        elif frame.key:
            broken = False
        if not broken:
            good.append(number)
    return tuple(good)


def _in_words(
    seen: _Seen, seconds: tuple[Fraction, ...], good: tuple[int, ...], total: int, fault: str
) -> str:
    bad = sorted(set(range(len(seen.frames))) - set(good))
    whole = bad[0] if bad else len(seen.frames)
    at = float(seconds[min(whole, len(seconds) - 1)])
    words = f"{len(good)} of {total} frames are good; damaged from frame {whole} ({at:.2f} s) on"
    if bad and (again := [number for number in good if number > bad[0]]):
        words = f"{len(good)} of {total} frames are good; damaged from frame {whole} ({at:.2f} s)"
        words += f" to {again[0] - 1} ({float(seconds[again[0]]):.2f} s)"
        if any(number > again[0] for number in bad):
            words += " and later"
    elif fault and total == len(seen.frames):
        words = f"{len(good)} frames are good, more are lost after {at:.2f} s"
    return f"{words}; {fault}" if fault else words


def turn_of(frame: Any) -> Turn:
    """How a frame is to be turned: the display matrix of its file (a phone's, mostly).

    Only turns by 90 degrees and mirrors count; others are left to players with a screen to fill.
    """
    found = frame.side_data.get("DISPLAYMATRIX")
    if found is None:
        return Turn()
    (a, b), (c, d) = np.frombuffer(found, np.int32)[:9].reshape(3, 3)[:2, :2].tolist()
    if b == c == 0 and a and d:
        return Turn(False, d < 0, a < 0)
    if a == d == 0 and b and c:
        return Turn(True, b < 0, c < 0)
    return Turn()

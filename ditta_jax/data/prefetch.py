"""Decoding and resizing in a thread ahead of the computation."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol, TypeVar

import numpy as np

from ditta_jax.data.preprocess import resized

_T = TypeVar("_T")
_POLL = 0.1  # seconds between looks at whether the consumer has gone


def ahead(items: Callable[[], Iterable[_T]], depth: int = 4) -> Iterator[_T]:
    """Items made in a background thread, at most `depth` ahead.

    An exception of the thread is raised here, after the items that came before it. Closing the
    iterator (or leaving it to the garbage collector) ends the thread.

    Args:
        items: called in the thread; makes the iterable.
        depth: items kept ready, ≥ 1.

    Yields:
        the items, in order.
    """
    ready: queue.Queue[tuple[str, object]] = queue.Queue(maxsize=max(depth, 1))
    stop = threading.Event()

    def put(entry: tuple[str, object]) -> bool:
        while not stop.is_set():
            with contextlib.suppress(queue.Full):
                ready.put(entry, timeout=_POLL)
                return True
        return False

    def work() -> None:
        try:
            for item in items():
                if not put(("item", item)):
                    return
            put(("end", None))
        except BaseException as error:  # whatever it is, it belongs to the consumer
            put(("error", error))

    thread = threading.Thread(target=work, name="ditta-prefetch", daemon=True)
    thread.start()
    try:
        while True:
            kind, value = ready.get()
            if kind == "end":
                return
            if kind == "error":
                assert isinstance(value, BaseException)
                raise value
            yield value  # type: ignore[misc]
    finally:
        stop.set()
        thread.join()


class Frames(Protocol):
    """Frames of a video, UInt8["H W 3"]: an array, or what decodes when asked."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> np.ndarray: ...


class Labels(Protocol):
    """Ground truth of a video's frames, UInt8["H W"] or None each."""

    def __getitem__(self, index: int, /) -> np.ndarray | None: ...


class Seen(NamedTuple):
    """A frame of a video on its way to the network.

    Attributes:
        index: of the frame.
        frame: UInt8["H W 3"].
        image: UInt8["Hi Wi 3"], the network's input but for its normalisation.
        truth: UInt8["H W"], or None where there is none or none was asked for.
    """

    index: int  # type: ignore[assignment]  # mypy: a tuple has a method of that name
    frame: np.ndarray
    image: np.ndarray
    truth: np.ndarray | None = None


def inputs(
    frames: Frames,
    scale: tuple[int, int] = (853, 480),
    divisor: int = 32,
    start: int = 0,
    stop: int | None = None,
    depth: int = 4,
    labels: Labels | None = None,
) -> Iterator[Seen]:
    """Frames of a video with the network's inputs, made ahead.

    Args:
        frames: a video's frames.
        scale: see `preprocess.resized`.
        divisor: see `preprocess.resized`.
        start: first frame.
        stop: the frame to stop before; None: the end.
        depth: frames kept ready; together with two in work they bound the memory.
        labels: the frames' ground truth, where it is wanted.
    """

    def make() -> Iterator[Seen]:
        for index in range(start, len(frames) if stop is None else stop):
            frame = frames[index]
            truth = None if labels is None else labels[index]
            yield Seen(index, frame, resized(frame, scale, divisor), truth)

    return ahead(make, depth)

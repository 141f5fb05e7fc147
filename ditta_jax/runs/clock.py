"""Seconds of work, results ready; what was spent on compiling is counted apart."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import jax

_COMPILING = "/jax/core/compile/"
_heard = threading.local()


class Clock:
    """Adds up the seconds of its `running` parts.

    Attributes:
        seconds: of work.
        compiling: further seconds, spent on tracing and compiling within the parts.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.compiling = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """The time of the body, which must wait for its results (`jax.block_until_ready`)."""
        outer = getattr(_heard, "spans", None)
        spans: list[tuple[float, float]] = []
        _heard.spans = spans
        start = time.perf_counter()
        try:
            yield
        finally:
            taken = time.perf_counter() - start
            _heard.spans = outer
            compiling = min(_union(spans), taken)
            self.seconds += taken - compiling
            self.compiling += compiling

    def add(self, other: "Clock", among: int = 1) -> None:
        """Add another clock's time, or this one's share of it where it was for several."""
        self.seconds += other.seconds / among
        self.compiling += other.compiling / among


def _listen(event: str, duration_secs: float, **_: str | int) -> None:
    """JAX tells the duration of each step of compiling, in the thread that does it."""
    spans = getattr(_heard, "spans", None)
    if spans is not None and event.startswith(_COMPILING):
        now = time.perf_counter()
        spans.append((now - duration_secs, now))


def _union(spans: list[tuple[float, float]]) -> float:
    """Length of the union: a function that is traced within another is told of twice."""
    total, end = 0.0, 0.0
    for first, last in sorted(spans):
        total += max(last - max(first, end), 0.0)
        end = max(end, last)
    return total


jax.monitoring.register_event_duration_secs_listener(_listen)

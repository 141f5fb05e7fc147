"""When student and teacher worked on each video, and how much of the one the other hides."""

import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

_DIGITS = 3  # of a second

Span = tuple[float, float]


class Timeline:
    """Spans of work of one run of the command, by video; the two processes may add at once."""

    def __init__(self) -> None:
        self._started = time.time()
        self._clock = time.perf_counter()
        self._lock = threading.Lock()
        self._student: dict[str, list[tuple[str, float, float]]] = {}
        self._teacher: dict[str, list[Span]] = {}
        self._begun: dict[str, float] = {}
        self._loading: dict[str, list[Span]] = {}
        self._loads: float | None = None
        self._loaded: Span | None = None

    @contextmanager
    def student(self, stage: str, *videos: str) -> Iterator[None]:
        """The body is a stage of these videos."""
        begin = self._now()
        yield
        with self._lock:
            for video in videos:
                self._student.setdefault(video, []).append((stage, begin, self._now()))

    def teacher_loads(self) -> None:
        """A process of the teacher was started."""
        with self._lock:
            self._loads = self._now()

    def teacher_ready(self) -> None:
        """That process can answer now; its first answer says under which video this is kept."""
        with self._lock:
            if self._loads is not None:
                self._loaded, self._loads = (self._loads, self._now()), None

    def teacher_begins(self, entry: str) -> None:
        """The teacher is at an entry of its cache now."""
        with self._lock:
            self._begun[entry] = self._now()

    def teacher_ends(self, entry: str, video: str) -> None:
        """The teacher is done with an entry, which is of a video."""
        with self._lock:
            begin = self._begun.pop(entry, None)
            if begin is not None:
                self._teacher.setdefault(video, []).append((begin, self._now()))
                if self._loaded is not None:
                    self._loading.setdefault(video, []).append(self._loaded)
                    self._loaded = None

    def of(self, video: str) -> dict[str, Any]:
        """What is kept of a video, as JSON values.

        Returns:
            `started`, when this run of the command began, Unix time; and in seconds from then
            `student`, a list of [stage, begin, end], `teacher`, a list of [begin, end], and
            `loading`, the same: how long a process of the teacher took to start, which answered
            this video first.
        """
        with self._lock:
            return {
                "started": round(self._started, _DIGITS),
                "student": [[s, *_rounded(b, e)] for s, b, e in self._student.get(video, ())],
                "teacher": [_rounded(b, e) for b, e in self._teacher.get(video, ())],
                "loading": [_rounded(b, e) for b, e in self._loading.get(video, ())],
            }

    def _now(self) -> float:
        return time.perf_counter() - self._clock


def overlap(timelines: Iterable[Mapping[str, Any]]) -> dict[str, float | None]:
    """How long student and teacher worked, and how long at the same time.

    Args:
        timelines: of the videos, as `Timeline.of` tells them; of several processes, or of several
            runs of the command if it was interrupted, which are then summed.

    Returns:
        `student_seconds`, `teacher_seconds` and `both_seconds`; and `hidden`, the share of the
        shorter one's time in which the other worked too; None if one did nothing.
    """
    runs: dict[float, list[Mapping[str, Any]]] = {}
    for own in timelines:
        runs.setdefault(own["started"], []).append(own)
    student = teacher = both = 0.0
    for videos in runs.values():
        a = [(begin, end) for own in videos for _, begin, end in own["student"]]
        b = [(begin, end) for own in videos for begin, end in own["teacher"]]
        student, teacher = student + _length(a), teacher + _length(b)
        both += _length(a) + _length(b) - _length([*a, *b])
    shorter = min(student, teacher)
    return {
        "student_seconds": round(student, _DIGITS),
        "teacher_seconds": round(teacher, _DIGITS),
        "both_seconds": round(both, _DIGITS),
        "hidden": round(both / shorter, _DIGITS) if shorter > 0 else None,
    }


def _length(spans: Sequence[Span]) -> float:
    """Length of the union."""
    total, reached = 0.0, float("-inf")
    for begin, end in sorted(spans):
        total += max(end - max(begin, reached), 0.0)
        reached = max(reached, end)
    return total


def _rounded(*values: float) -> list[float]:
    return [round(value, _DIGITS) for value in values]

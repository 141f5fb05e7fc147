"""The teacher's process at work while its questions still come: it is fed one entry at a time.

A thread listens to the process, so that whoever asks can compute meanwhile. A video that the
teacher fails at, dies of or hangs in does not keep it from the others: it is started again without.
"""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ditta_jax.errors import UserError, stop_if_interrupted
from ditta_jax.teacher.cache import masklets_path, read_masklets
from ditta_jax.teacher.child import Child, ending, new_inbox

_ATTEMPTS = 2  # at a video that the teacher died at, before it is given up
_MOST_TOLD = 100  # names a process is told before it answers: they fit into its pipe, unread
_LOOK_SECONDS = 0.5  # between two safe points for Ctrl-C while waiting
_END_SECONDS = 10.0  # for an orderly end
_ASKED = "asked"  # an event of our own, which ends the listening thread's wait
_LOADS = "loads"  # another: a process was started

OnProgress = Callable[[Mapping[str, Any]], None]


class Session:
    """Has entries answered, one process for all of them; a context manager.

    Nothing is started before the first entry without an answer: building the network takes longer
    than a short video.

    Args:
        command: of a process that reads names of entries from its standard input, line by line,
            until an empty one, and reports as `python -m teacher_bridge --json --listen` does.
        environment: its environment.
        key: of the teacher; whose answers count.
        patience: seconds without a sign of life, while there are questions, after which it is
            stopped; None: for ever.
        patience_told: the same as a person set it, for the message.
        on_progress: told each event but signs of life, in the listening thread; and "loads" when
            a process is started, which is "ready" later.
    """

    all_at_once = False

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        key: str,
        patience: float | None,
        patience_told: str,
        on_progress: OnProgress,
    ) -> None:
        self._command, self._environment, self._key = command, environment, key
        self._patience, self._patience_told = patience, patience_told
        self._on_progress = on_progress
        self._inbox = new_inbox()
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()  # guards all that follows
        self._open: dict[str, Path] = {}
        self._failed: dict[str, str] = {}
        self._deaths: Counter[str] = Counter()
        self._broken: BaseException | None = None
        self._closed = threading.Event()
        self._child: Child | None = None

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *error: object) -> None:
        with self._changed:
            self._closed.set()
            self._changed.notify_all()
            child = self._child
            orderly = not any(error) and not self._open
        if child is not None:
            if orderly:
                child.tell("")
                self._join(_END_SECONDS)
            child.stop()
        self._join(None)

    def ask(self, entry: Path) -> None:
        """Have an entry answered, unless it is; returns at once."""
        name = Path(entry).name
        if name in self._waiting() or read_masklets(entry, self._key) is not None:
            return
        with self._changed:
            self._failed.pop(name, None)
            self._open[name] = Path(entry)
            self._changed.notify_all()
            child = self._child
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, daemon=True)
            self._thread.start()
        elif child is not None:
            self._inbox.put((child, {"event": _ASKED}))

    def wait(self, entry: Path) -> str | None:
        """Wait until an entry is answered; returns why it could not be, None if it is.

        Raises:
            UserError: the teacher failed at none of the videos in particular, with its last line.
        """
        name = Path(entry).name
        with self._changed:
            while name in self._open and self._broken is None:
                self._changed.wait(_LOOK_SECONDS)
                stop_if_interrupted()
            if name in self._open and self._broken is not None:
                raise self._broken
            return self._failed.get(name)

    # ------------------------------------------------------------------ in the listening thread

    def _work(self) -> None:
        """Start one process after the other, as long as there are questions."""
        try:
            while self._questions():
                self._one_process()
        except BaseException as error:  # raised by whoever waits
            with self._changed:
                self._broken, self._child = error, None
                self._changed.notify_all()

    def _questions(self) -> bool:
        """Wait for a question; False once there will be none."""
        with self._changed:
            while not self._open and not self._closed.is_set():
                self._changed.wait()
            return not self._closed.is_set()

    def _one_process(self) -> None:
        """Run the teacher until it has ended or shows no sign of life, and settle what it left."""
        with self._changed:
            if self._closed.is_set():
                return
            child = self._child = Child(self._command, self._environment, self._inbox)
        in_hand: dict[str, str] = {}
        told: set[str] = set()
        answers, hung = 0, False
        with child:
            self._on_progress({"event": _LOADS})
            try:
                while (event := self._next(child, told)) is not None:
                    answers += self._take_in(event, in_hand)
                reason = _reason(child)
            except queue.Empty:
                hung = True
                reason = f"no sign of life for {self._patience_told} s (teacher.patience)"
        with self._changed:
            self._child = None
            if self._closed.is_set():
                return
        answers += self._take_unreported()
        self._blame(reason, in_hand, hung, bool(answers))

    def _next(self, child: Child, told: set[str]) -> Mapping[str, Any] | None:
        """Tell the process what it does not know of; its next event, None at its end.

        Raises:
            queue.Empty: there are questions, and it shows no sign of life.
        """
        while True:
            waiting = self._waiting()
            room = _MOST_TOLD - len(told & waiting.keys())
            for name in [name for name in waiting if name not in told][: max(room, 0)]:
                told.add(name)
                child.tell(name)
            whose, event = self._inbox.get(timeout=self._patience if waiting else None)
            if whose is child and (event is None or event["event"] != _ASKED):
                return event

    def _take_in(self, event: Mapping[str, Any], in_hand: dict[str, str]) -> bool:
        """Take note of an event; returns whether it ends a question."""
        kind, name = event["event"], event.get("entry", "")
        if kind == "ready":
            self._on_progress(event)
        entry = self._waiting().get(name)
        if entry is None:  # of none that was asked about
            return False
        if kind in ("begin", "video", "failed", "skipped"):
            self._on_progress(event)
        if kind == "begin":
            in_hand[name] = event["video"]
        if kind not in ("video", "failed", "skipped"):
            return False
        in_hand.pop(name, None)
        message = event.get("message")
        if kind == "video" and not masklets_path(entry, self._key).is_file():
            message = _no_masklets(entry)
        self._end(name, message)
        return True

    def _take_unreported(self) -> int:
        """Close the questions that a process answered without a word; returns their number."""
        answered = [n for n, e in self._waiting().items() if read_masklets(e, self._key)]
        for name in answered:
            self._end(name, None)
        return len(answered)

    def _blame(self, reason: str, in_hand: Mapping[str, str], hung: bool, answers: bool) -> None:
        """Of what is open when a process has ended, give up what it died of."""
        waiting = self._waiting()
        blamed = [name for name in in_hand if name in waiting]
        for name in blamed:
            self._deaths[name] += 1
            if hung or self._deaths[name] >= _ATTEMPTS:
                message = f"video {in_hand[name]!r}: the teacher stopped: {reason}"
                self._on_progress({"event": "failed", "entry": name, "message": message})
                self._end(name, message)
        if waiting and not blamed and not answers:
            reason = reason or _no_masklets(next(iter(waiting.values())))
            raise UserError(f"the teacher stopped: {reason}")

    def _waiting(self) -> dict[str, Path]:
        with self._changed:
            return dict(self._open)

    def _end(self, name: str, message: str | None) -> None:
        """Close a question; with a message where it failed."""
        with self._changed:
            self._open.pop(name, None)
            if message is not None:
                self._failed[name] = message
            self._changed.notify_all()

    def _join(self, seconds: float | None) -> None:
        if self._thread is not None:
            self._thread.join(seconds)


def _reason(child: Child) -> str:
    """What a process that has ended leaves to be said; empty if it ended well."""
    status, words = child.wait(), child.last_words()
    if status == 0:
        return ""
    if status < 0:
        return f"{ending(status)}: {words}" if words else ending(status)
    return words or f"{ending(status)} without a word"


def _no_masklets(entry: Path) -> str:
    return f"it left no masklets in {entry}; was the cache changed?"

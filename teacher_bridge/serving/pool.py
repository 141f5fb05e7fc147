"""Several workers at one queue of videos, each a process of its own, on one device or several.

The queue hands out one video at a time. A worker that dies, by whatever, or hangs, leaves the
others running: its video goes to another, a few times at most, and a new worker takes its place.
"""

from __future__ import annotations

import os
import queue
import time
from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ditta_jax.errors import UserError
from ditta_jax.teacher.child import Child, ending, new_inbox
from teacher_bridge.serving.events import Event, Report
from teacher_bridge.serving.questions import Questions

_ATTEMPTS = 3  # at one video, before it is given up
_STARTS = 3  # of workers that end before they are ready, one after another
_TICK_SECONDS = 0.5  # between two looks at the clock; also at videos that other teachers are at
_HEAR_SECONDS = 0.05  # between two looks at what is asked, while a worker has nothing to do


class Pool:
    """Workers, what each is at, and what is left to do."""

    def __init__(
        self,
        commands: Sequence[Sequence[str]],
        report: Report,
        patience: float = 0.0,
        attempts: int = _ATTEMPTS,
    ) -> None:
        """Take the command line of each worker, whom to tell, and how long one may be silent.

        Args:
            commands: each starts a worker (`teacher_bridge.serving.worker`).
            report: told of all events.
            patience: seconds without a sign of life after which a worker is stopped; 0: for ever.
            attempts: workers that may die of one video before it is given up.
        """
        self._commands, self._report = commands, report
        self._patience, self._most_attempts = patience, attempts
        self._inbox = new_inbox()
        self._slot: dict[Child, int] = {}
        self._hand: dict[Child, Path] = {}
        self._seen: dict[Child, float] = {}
        self._ready: set[Child] = set()
        self._bad_starts = 0
        self._waiting: deque[Path] = deque()
        self._later: list[Path] = []
        self._attempts: Counter[Path] = Counter()
        self._failures: list[str] = []

    def answer(self, questions: Questions) -> list[str]:
        """Have entries answered as they become known; return the messages of the failed ones."""
        self._waiting, self._failures = deque(), []
        self._total, self._done = 0, 0
        try:
            while True:
                new = questions.take(wait=not (self._waiting or self._later or self._hand))
                self._waiting.extend(new)
                self._total += len(new)
                if not (self._waiting or self._later or self._hand):
                    return self._failures
                self._hand_out()
                idle = len(self._hand) < len(self._commands) and not questions.ended
                self._listen(_HEAR_SECONDS if idle else _TICK_SECONDS)
        finally:
            self._stop()

    def _hand_out(self) -> None:
        """Give every idle worker a video, starting workers while there are videos for them."""
        idle = [child for child in self._slot if child not in self._hand]
        free = [slot for slot in range(len(self._commands)) if slot not in self._slot.values()]
        while self._waiting and (idle or free):
            child = idle.pop() if idle else self._start(free.pop(0))
            folder = self._hand[child] = self._waiting.popleft()
            self._seen[child] = time.monotonic()
            child.tell(folder.name)

    def _start(self, slot: int) -> Child:
        environment = dict(os.environ, TQDM_DISABLE="1", PYTHONUNBUFFERED="1")
        child = Child(self._commands[slot], environment, self._inbox)
        self._slot[child] = slot
        return child

    def _listen(self, seconds: float) -> None:
        """Take in one event, or look at the clock."""
        try:
            child, event = self._inbox.get(timeout=seconds)
        except queue.Empty:
            self._waiting.extend(self._later)
            self._later.clear()
            self._look_for_hanging()
            return
        if child not in self._slot:
            return  # of one that was stopped
        self._seen[child] = time.monotonic()
        if event is None:
            status = child.wait()
            words = ": ".join(filter(None, (ending(status), child.last_words())))
            self._bury(child, words)
        else:
            self._take_in(child, event)

    def _take_in(self, child: Child, event: Event) -> None:
        kind = event["event"]
        if kind == "ready":
            if not self._ready:
                self._report(event)  # of the first one: there is a teacher now
            self._ready.add(child)
            self._bad_starts = 0
        if kind in ("video", "failed", "skipped", "busy"):
            folder = self._hand.pop(child, None)
            if folder is None or folder.name != event["entry"]:
                return
            if kind == "busy":
                self._later.append(folder)
            elif kind == "failed":
                self._fail(folder, event["message"])
            else:
                self._finish(event)
        elif kind in ("begin", "alive"):
            self._report(event)

    def _finish(self, event: Event) -> None:
        self._done += 1
        counted: dict[str, Any] = {**event}
        if event["event"] == "video":
            counted |= {"done": self._done, "total": self._total}
        self._report(counted)

    def _fail(self, folder: Path, message: str) -> None:
        self._failures.append(message)
        self._finish({"event": "failed", "entry": folder.name, "message": message})

    def _look_for_hanging(self) -> None:
        for child in [*self._hand]:
            silent = time.monotonic() - self._seen[child]
            if self._patience and silent > self._patience:
                words = f"no sign of life for {self._patience:g} s (--patience)"
                self._bury(child, words, self._most_attempts)

    def _bury(self, child: Child, words: str, attempts: int = 1) -> None:
        """Take a dead worker off the books and its video back into the queue."""
        child.stop()
        self._slot.pop(child)
        self._seen.pop(child)
        folder = self._hand.pop(child, None)
        if child not in self._ready:
            self._bad_starts += 1
            if self._bad_starts >= _STARTS or not self._ready:
                raise UserError(f"a worker ended before it was ready: {words}")
            attempts = 0
        if folder is None:
            return
        self._attempts[folder] += attempts
        if self._attempts[folder] >= self._most_attempts:
            self._fail(folder, f"{folder}: every worker that tried it ended: {words}")
        else:
            self._waiting.append(folder)

    def _stop(self) -> None:
        for child in self._slot:
            child.dismiss()
        for child in self._slot:
            child.stop()
        self._slot.clear()
        self._hand.clear()

"""Which entries are to be answered: those of a list, or those that somebody names one by one."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from ditta_jax.errors import UserError
from teacher_bridge.serving.entries import find_entries
from teacher_bridge.serving.events import Report


class Questions(Protocol):
    """Entries, as they become known.

    Attributes:
        ended: nobody will name others.
    """

    ended: bool

    def take(self, wait: bool) -> list[Path]:
        """Return the entries that became known since; if there are none, wait where asked to."""


class Listed:
    """All that there are, known from the beginning."""

    def __init__(self, folders: Sequence[Path]) -> None:
        """Take the entries."""
        self._folders = list(folders)
        self.ended = not folders

    def take(self, wait: bool) -> list[Path]:
        """Return all of them, once."""
        folders, self._folders, self.ended = self._folders, [], True
        return folders


def listed(waiting: Sequence[Path], finished: int, report: Report) -> Listed:
    """Return the entries to be answered, and tell how many they are.

    Args:
        waiting: entries without masklets.
        finished: number of those that have them.
        report: told both numbers.
    """
    report({"event": "start", "total": len(waiting), "finished": finished})
    return Listed(waiting)


class Heard:
    """Named line by line, until an empty line or the end."""

    def __init__(self, names: queue.Queue[str | None], cache_dir: Path, report: Report) -> None:
        """Take what `lifeline.follow_parent` returns, the cache, and who is told of wrong ones."""
        self._names, self._cache, self._report = names, cache_dir, report
        self.ended = False

    def take(self, wait: bool) -> list[Path]:
        """Return what was named meanwhile."""
        folders: list[Path] = []
        while not self.ended:
            try:
                name = self._names.get(block=wait and not folders)
            except queue.Empty:
                break
            if not name:
                self.ended = True
                break
            try:
                folders += find_entries(self._cache, [name])
            except UserError as error:
                self._report({"event": "failed", "entry": name, "message": str(error)})
        return folders

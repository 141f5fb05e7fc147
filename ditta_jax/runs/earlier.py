"""What a run finds in its folder that is not its own: kept in `<run>/earlier-<n>/`, never mixed.

The paths in `earlier-<n>` are those they had in the run. What a run finds there that is its own
after all, since the same command ran before, comes back.
"""

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ditta_jax.files import writing


class Earlier:
    """The `earlier-<n>` folders of a run; one opening of a run makes at most one.

    Args:
        run: the run's folder.

    Attributes:
        alone: whether no other process writes in the run; only then are empty folders removed.
    """

    def __init__(self, run: Path) -> None:
        self.alone = True
        self._run = run
        self._own: Path | None = None

    @property
    def name(self) -> str:
        """Name of the folder that this opening moved something into; empty if nothing yet."""
        return self._own.name if self._own else ""

    def folders(self) -> list[Path]:
        """Those that there are, the newest first."""
        found = [p for p in _listing(self._run) if re.fullmatch(r"earlier-[0-9]+", p.name)]
        return sorted(found, key=_number, reverse=True)

    def keep(self, paths: Iterable[Path]) -> None:
        """Move files and folders of the run away, one after the other, in the order given."""
        for path in paths:
            target = self._folder() / path.relative_to(self._run)
            _move(path, target)
            self._tidy(path.parent)

    def bring_back(self, folder: Path, paths: Iterable[Path]) -> None:
        """Move files and folders of an `earlier-<n>` back to where they were."""
        for path in paths:
            _move(path, self._run / path.relative_to(folder))
            self._tidy(path.parent)

    def _tidy(self, folder: Path) -> None:
        """Remove a folder of the run that a move left empty, and those around it."""
        while self.alone and folder != self._run and not _listing(folder):
            with writing(folder):
                folder.rmdir()
            folder = folder.parent

    def _folder(self) -> Path:
        if self._own is None:
            last = max((_number(folder) for folder in self.folders()), default=0)
            self._own = self._run / f"earlier-{last + 1}"
        return self._own


def _move(path: Path, target: Path) -> None:
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # another process of this run was quicker
            path.rename(target)


def _listing(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _number(folder: Path) -> int:
    return int(folder.name.rpartition("-")[2])

"""The entries of a cache folder: those that are there, those that are new, those unanswered."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from ditta_jax.errors import UserError
from ditta_jax.names import fault_of
from ditta_jax.teacher.cache import read_masklets


def find_entries(cache_dir: Path, names: Sequence[str]) -> list[Path]:
    """Return the entry folders of a cache by name, or those named; UserError if one is missing."""
    if not cache_dir.is_dir():
        raise UserError(f"{cache_dir}: no such cache folder")
    if not names:
        return sorted(path.parent for path in cache_dir.glob("*/request.json"))
    for name in names:
        if fault := fault_of(name):
            raise UserError(f"--entry: {name!r} is no name of an entry: {fault}")
    folders = [cache_dir / name for name in dict.fromkeys(names)]
    for folder in folders:
        if not (folder / "request.json").is_file():
            raise UserError(f"{folder}: no request here")
    return folders


def unanswered(folders: Sequence[Path], key: str) -> list[Path]:
    """Return the entries that have no whole masklets of this teacher."""
    return [folder for folder in folders if read_masklets(folder, key) is None]


def watch(cache_dir: Path, names: Sequence[str], seconds: float) -> Iterator[list[Path]]:
    """Yield entries not seen before, looking again every few seconds, for ever."""
    seen: set[Path] = set()
    while True:
        new = [folder for folder in find_entries(cache_dir, names) if folder not in seen]
        if new:
            yield new
            seen.update(new)
        else:
            time.sleep(seconds)

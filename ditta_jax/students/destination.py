"""Folders that are written as a whole, where nothing that somebody else put there is ever lost.

A new folder grows beside its place under a hidden name and takes the place once it is whole. What
stands there is replaced only if it is an earlier one, to the last file; a program that dies between
the two renames leaves the earlier one, which `recover` finds.
"""

import os
import re
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ditta_jax.errors import UserError
from ditta_jax.files import writing


def refuse_foreign(path: Path, earlier: Collection[str], sources: Collection[Path] = ()) -> None:
    """Refuse a place that holds anything but an earlier folder of the same kind.

    Args:
        path: where a folder is to be written.
        earlier: files that an earlier one has there, as POSIX paths in it; empty if what stands
            there is none.
        sources: files or folders that the new one is made from.

    Raises:
        UserError: a file, a link, the folder one is in or a parent of it, the home folder or a
            parent of it, a source or a parent of one, or a folder with other files.
    """
    if path.is_symlink():
        raise UserError(f"{path}: is a link to {os.readlink(path)}; name a folder of its own")
    if path.exists() and not path.is_dir():
        raise UserError(f"{path}: is a file; name a folder of its own")
    place = path.resolve()
    for folder, what in ((Path.cwd(), "the folder you are in"), (Path.home(), "your home folder")):
        if place == folder.resolve() or place in folder.resolve().parents:
            raise UserError(f"{path}: is {what} or around it; name a folder of its own")
    for source in sources:
        if place == source.resolve() or place in source.resolve().parents:
            raise UserError(f"{path}: is or holds the source {source}; name a folder of its own")
    with writing(path):
        strange = [name for name in _files(path) if name not in earlier]
    if strange:
        raise UserError(
            f"{path}: holds {strange[0]}, which this program did not write there; name a folder of "
            "its own, or remove it"
        )


@contextmanager
def orbax_writing(path: Path, size: int, within: Path) -> Iterator[None]:
    """Turn what the system refuses to Orbax' own writers into one line that names `path`.

    Room is asked for before: Orbax writes many files at once, in threads that tell at length of
    each that failed.

    Args:
        path: what is being written, for messages.
        size: bytes of the arrays.
        within: the folder that Orbax will write in; it is there.
    """
    trial = within / ".room"
    try:
        with writing(path):
            try:
                with open(trial, "xb") as file:
                    _reserve(file, size)
            finally:
                trial.unlink(missing_ok=True)
            yield
    except (ValueError, RuntimeError) as error:
        refused = re.search(r"os_error_code='([0-9]+)'", str(error))
        if refused is None:
            raise
        with writing(path):
            raise OSError(int(refused[1]), os.strerror(int(refused[1]))) from error


def _reserve(file: BinaryIO, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, max(size, 1))
    else:
        file.truncate(size)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a new, empty folder that takes the place of `path` at the end, if nothing failed.

    Call `refuse_foreign` first: what stands at `path` is removed then.
    """
    recover(path)
    fresh, old = _beside(path, f"writing-{os.getpid()}"), _beside(path, "replaced")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.mkdir()
    try:
        yield fresh
        with writing(path):
            if path.exists():
                path.rename(old)
            fresh.rename(path)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def recover(path: Path) -> None:
    """Put back what a program was replacing when it died; remove it where that was done."""
    old = _beside(path, "replaced")
    if not old.is_dir():
        return
    if path.exists():
        shutil.rmtree(old, ignore_errors=True)
    else:
        with writing(path):
            old.rename(path)


def _beside(path: Path, what: str) -> Path:
    return path.with_name(f".{path.name}.{what}")


def _files(folder: Path) -> list[str]:
    """Files and links in a folder, and folders without any; as POSIX paths in it, sorted."""
    found = []
    for place, folders, files in os.walk(folder, onerror=_raise):
        links = [name for name in folders if (Path(place) / name).is_symlink()]
        empty = not folders and not files and Path(place) != folder
        names = [Path(place)] if empty else [Path(place) / name for name in (*files, *links)]
        found += [name.relative_to(folder).as_posix() for name in names]
    return sorted(found)


def _raise(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error

"""Claims on entries, so that several teachers at one cache do not do the same video twice.

A claim is a lock that the system drops when its process dies, however it dies; nothing has to
expire. Where a file system has no locks, everybody may claim everything: work may then be done
twice, but answers are written whole or not at all.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

if sys.platform != "win32":
    import fcntl

_KEY_IN_NAME = 16


@contextmanager
def claim(folder: Path, key: str) -> Iterator[bool]:
    """Hold an entry for one teacher while the context lasts; yield False if another has it.

    Args:
        folder: the entry.
        key: the teacher's; others may answer the same entry at the same time.
    """
    path = folder / f".claim-{key[:_KEY_IN_NAME]}"
    descriptor = _locked(path)
    if descriptor is None:
        yield False
        return
    try:
        yield True
    finally:
        if descriptor >= 0:
            with suppress(OSError):
                path.unlink()  # still locked: whoever opened it before sees that it is gone
            os.close(descriptor)


def _locked(path: Path) -> int | None:
    """Return a descriptor that holds the lock; -1 where there are none; None if it is taken."""
    if sys.platform == "win32":
        return -1
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        except OSError:  # not to be written here, or a link in its place: the answer will tell
            return -1
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError:
            os.close(descriptor)
            return -1
        try:
            if os.stat(path).st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        except FileNotFoundError:
            pass
        os.close(descriptor)  # its last owner removed it in between: take the new one

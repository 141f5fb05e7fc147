"""Owners of a run folder: locks that the system drops when their process dies.

A run is the only owner of its folder. Where it has several processes, the first prepares the
folder alone and then lets the others in; what each of them works on, it claims by a lock as well.
"""

import errno
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ditta_jax.errors import UserError, stop_if_interrupted
from ditta_jax.files import writing

log = logging.getLogger(__name__)

NAME = ".lock"
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EINVAL)  # some network file systems
_LOOK_SECONDS = 0.2  # between two looks at a lock that is waited for


class FolderLock:
    """A context manager that holds the lock of a folder; the folder is made if missing.

    The file stays when the lock is dropped: removing it would let two owners in. It names the owner
    for the message that the second one gets.

    Args:
        folder: the folder.
        second: whether this is a further process of the run that owns the folder: it waits to be
            let in (`let_others_in`), and is one owner of several.
    """

    def __init__(self, folder: Path, second: bool = False) -> None:
        self._folder = folder
        self._second = second
        self._descriptor: int | None = None

    def __enter__(self) -> "FolderLock":
        """Take the lock.

        Raises:
            UserError: another run holds it, or the folder cannot be written.
        """
        self._descriptor = _opened(self._folder / NAME)
        try:
            if self._second:
                self._wait_for(shared=True)
            else:
                self._take()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_) -> None:
        self._close()

    def let_others_in(self) -> None:
        """Be one owner of several from now on: further processes of the same run.

        Raises:
            UserError: there are no locks here, or another run was quicker.
        """
        if not self._try(shared=True, needed=True):
            raise UserError(f"{self._folder}: another run writes here; run the same command again")

    def wait_until_alone(self) -> None:
        """Wait until the other processes of the run have left the folder."""
        self._wait_for(shared=False)

    def _take(self) -> None:
        path = self._folder / NAME
        if not self._try(shared=False):
            raise UserError(
                f"{self._folder}: another run writes here ({_owner(path)}); wait for its end, or "
                "give this one another name"
            )
        assert self._descriptor is not None
        with writing(path):
            since = time.strftime("%Y-%m-%d %H:%M:%S")
            os.truncate(path, 0)
            os.write(
                self._descriptor,
                f"process {os.getpid()} on {socket.gethostname()}, since {since}\n".encode(),
            )

    def _wait_for(self, shared: bool) -> None:
        while not self._try(shared, needed=True):
            stop_if_interrupted()
            time.sleep(_LOOK_SECONDS)

    def _try(self, shared: bool, needed: bool = False) -> bool:
        """Take the lock or change its kind; False if another process is in the way."""
        assert self._descriptor is not None
        path = self._folder / NAME
        try:
            return _try_lock(self._descriptor, shared)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            if needed:
                raise UserError(
                    f"{path}: this file system has no locks, which the processes of one run need "
                    "(parallel.coordinator); choose another output, or give each process a run of "
                    "its own: another name, its own data.list"
                ) from None
            log.warning("%s: no locks here; see to it that one run at a time uses it", path)
            return True

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


@contextmanager
def claim(path: Path) -> Iterator[bool]:
    """Hold a file's lock while the context lasts; yields False if another process has it."""
    descriptor = _opened(path)
    try:
        yield _try_lock(descriptor)
    finally:
        os.close(descriptor)


def _opened(path: Path) -> int:
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # not inherited by the teacher's process, which could outlive this one
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)


def _try_lock(descriptor: int, shared: bool = False) -> bool:
    """Take a lock at once, or say that another process is in the way."""
    try:
        import fcntl
    except ImportError:  # no such system call here
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP)) from None
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _owner(path: Path) -> str:
    try:
        return path.read_text(errors="replace")[:200].strip() or "an unknown process"
    except OSError:
        return "an unknown process"

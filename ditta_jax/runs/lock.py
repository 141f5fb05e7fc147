"""One owner of a run folder at a time: a lock that the system drops when its process dies."""

import errno
import logging
import os
import socket
import time
from pathlib import Path

from ditta_jax.errors import UserError
from ditta_jax.files import writing

log = logging.getLogger(__name__)

NAME = ".lock"
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EINVAL)  # some network file systems


class FolderLock:
    """A context manager that holds the lock of a folder; the folder is made if missing.

    The file stays when the lock is dropped: removing it would let two owners in. It names the owner
    for the message that the second one gets.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor: int | None = None

    def __enter__(self) -> "FolderLock":
        """Take the lock.

        Raises:
            UserError: another run holds it, or the folder cannot be written.
        """
        path = self._folder / NAME
        with writing(path):
            self._folder.mkdir(parents=True, exist_ok=True)
            # not inherited by the teacher's process, which could outlive this one
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            self._take(path)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_) -> None:
        self._close()

    def _take(self, path: Path) -> None:
        try:
            import fcntl
        except ImportError:  # no such system call here
            return
        assert self._descriptor is not None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{self._folder}: another run writes here ({_owner(path)}); wait for its end, or "
                "give this one another name"
            ) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            log.warning("%s: no locks here; see to it that one run at a time uses it", path)
        with writing(path):
            since = time.strftime("%Y-%m-%d %H:%M:%S")
            os.truncate(path, 0)
            os.write(
                self._descriptor,
                f"process {os.getpid()} on {socket.gethostname()}, since {since}\n".encode(),
            )

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _owner(path: Path) -> str:
    try:
        return path.read_text(errors="replace")[:200].strip() or "an unknown process"
    except OSError:
        return "an unknown process"

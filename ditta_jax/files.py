"""Files that are either whole or refused: sealed JSON, atomic writing, errors with the path."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from ditta_jax.errors import UserError, WriteError

_HEAD = b'{\n"checksum": "'
_HEX_DIGITS = 64
_PARTIAL = ".partial"
_STALE_SECONDS = 3600.0  # no write takes this long: its process was killed


def seal(content: Mapping[str, Any]) -> bytes:
    """Return a JSON object of `content`, its first key the SHA-256 of all bytes that follow.

    One line per key, and per item of a list: a person can read and diff it.
    """
    lines = [f"{json.dumps(key)}: {_layout(value)}" for key, value in content.items()]
    body = ('",\n' + ",\n".join(lines) + "\n}\n").encode()
    return _HEAD + hashlib.sha256(body).hexdigest().encode() + body


def unseal(data: bytes) -> dict[str, Any]:
    """Return the content of sealed bytes; ValueError with the reason if any byte changed."""
    end = len(_HEAD) + _HEX_DIGITS
    if data[: len(_HEAD)] != _HEAD or len(data) <= end:
        raise ValueError("cut off or not a file of this program")
    if hashlib.sha256(data[end:]).hexdigest().encode() != data[len(_HEAD) : end]:
        raise ValueError("checksum does not match: truncated or changed since it was written")
    content = parse_json(data)
    del content["checksum"]
    return dict(content)


def parse_json(data: bytes) -> Any:
    """Return the value of strict JSON bytes; ValueError with the reason for anything else.

    Strict: no key twice, no NaN or Infinity, no number that overflows, no nesting without end.
    """
    try:
        return json.loads(
            data,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            object_pairs_hook=_each_key_once,
        )
    except RecursionError:
        raise ValueError("not valid JSON (nested too deeply)") from None
    except ValueError as error:
        raise ValueError(f"not valid JSON ({error})") from None


def read_regular(path: Path, most_bytes: int) -> bytes:
    """Return the bytes of a file that a stranger may have put there.

    OSError if it cannot be read; ValueError for a link, a device, a pipe or too large a file,
    which are not touched.
    """
    never_wait = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
    try:
        descriptor = os.open(path, os.O_RDONLY | never_wait | getattr(os, "O_BINARY", 0))
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise ValueError("it is a link or no file") from None
        raise
    with open(descriptor, "rb") as file:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode):
            raise ValueError("it is no regular file")
        if state.st_size > most_bytes:
            raise ValueError(f"it has {state.st_size} bytes, at most {most_bytes} are read")
        return file.read(most_bytes)


def open_regular(path: Path) -> BinaryIO:
    """Open a file, or what a link leads to, for reading; never wait for what is none.

    Raises:
        OSError: it cannot be read; a pipe, a socket or a device cannot either.
    """
    descriptor = os.open(
        path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    )
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no file but a folder, a pipe or a device", str(path))
    return open(descriptor, "rb")


def write_atomically(path: Path, data: bytes) -> None:
    """Write under a temporary name in the same folder, sync, rename; remove stale leftovers.

    Raises:
        UserError: the file cannot be written; an old one is still there, whole.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_stale_partials(path.parent)
        _put(path, data, sync=True)
        _sync_folder(path.parent)


def write_whole(path: Path, data: bytes) -> None:
    """Write under a temporary name and rename, without waiting for the disk.

    For the many small files that something else vouches for with their digests: whoever is killed
    leaves whole files, and what a power cut takes is noticed when the digests are compared.

    Raises:
        UserError: the file cannot be written; an old one is still there, whole.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _put(path, data, sync=False)


def refuse_foreign_file(path: Path, is_ours: Callable[[Path], bool]) -> None:
    """Refuse to replace what is not an earlier file of the same kind; call it before the work.

    Args:
        path: where a file is to be written.
        is_ours: whether this program wrote the file that is there.

    Raises:
        UserError: a folder, a link, or a file that this program did not write.
    """
    if path.is_symlink():
        raise UserError(f"{path}: is a link; name a file of its own")
    if path.is_dir():
        raise UserError(f"{path}: is a folder; name a file in it")
    if path.exists() and not is_ours(path):
        raise UserError(f"{path}: exists, and this program did not write it; name another file")


def json_with(*keys: str) -> Callable[[Path], bool]:
    """Whether a file is a JSON object with these keys, as a function for `refuse_foreign_file`."""

    def has_keys(path: Path) -> bool:
        try:
            content = parse_json(path.read_bytes())
        except (OSError, ValueError):
            return False
        return isinstance(content, dict) and content.keys() >= set(keys)

    return has_keys


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a refusal of the system to write `path` into one line that names path and reason."""
    try:
        yield
    except OSError as error:
        raise WriteError(f"{path}: cannot be written: {_reason(path, error)}") from error


def check_writable(folder: Path) -> None:
    """Make a folder that results go to and try it, before the work whose results they are.

    Raises:
        UserError: the system refuses; path and reason are named.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".", suffix=_PARTIAL) as file:
            file.write(b"tried")


def digest_of_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fault_of_files(folder: Path, digests: Mapping[str, str]) -> str | None:
    """Say which of some files, by their paths in a folder, is not what its digest says."""
    for name, digest in digests.items():
        try:
            if digest_of_file(folder / name) != digest:
                return f"{name} is not what it wrote"
        except OSError:
            return f"{name} is missing"
    return None


def remove_stale_partials(folder: Path) -> None:
    """Remove temporary files of killed runs; recent ones may belong to a running writer."""
    for leftover in folder.glob(f".*{_PARTIAL}"):
        try:
            if time.time() - leftover.stat().st_mtime > _STALE_SECONDS:
                leftover.unlink()
        except OSError:
            continue  # another process was quicker


def _put(path: Path, data: bytes, sync: bool) -> None:
    # cut, so that it is not longer than a file's name may be where the name itself just fits
    name = f".{path.name[:40]}.{os.getpid()}-{time.monotonic_ns()}{_PARTIAL}"
    partial = path.with_name(name)
    try:
        with open(partial, "xb") as file:
            file.write(data)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


_ADVICE = {
    errno.ENOSPC: "free some space, then run the same command again",
    errno.EDQUOT: "free some space, then run the same command again",
    errno.EFBIG: "files may not grow so large here (ulimit -f); run the same command again without",
    errno.EROFS: "choose another place",
    errno.EACCES: "choose another place, or have its owner let you write there",
    errno.EPERM: "choose another place, or have its owner let you write there",
    errno.ENAMETOOLONG: "shorten it",
    errno.EISDIR: "move that folder away",
}


def _reason(path: Path, error: OSError) -> str:
    """What the system says and what to do about it; names a file that stands in a folder's place.

    `error` may be about a part of the path, or about the temporary file beside it.
    """
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        own = (path,) if error.errno == errno.EEXIST else ()  # it was to be a folder itself
        for folder in (*own, *path.parents):
            if os.path.lexists(folder) and not folder.is_dir():
                return f"{folder} is a file and not a folder; move it away"
    said = error.strerror or str(error)
    advice = _ADVICE.get(error.errno or 0)
    return f"{said}; {advice}" if advice else said


def _layout(value: Any) -> str:
    if isinstance(value, list | tuple) and any(isinstance(v, list | tuple | dict) for v in value):
        return "[\n" + ",\n".join(json.dumps(item, allow_nan=False) for item in value) + "\n]"
    return json.dumps(value, allow_nan=False)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is too large a number")
    return value


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for key, value in pairs:
        if key in content:
            raise ValueError(f"the key {key[:50]!r} is there twice")
        content[key] = value
    return content


def _sync_folder(folder: Path) -> None:
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # folders cannot be opened on some systems
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass  # some network file systems refuse; the rename itself is atomic there too
    finally:
        os.close(descriptor)

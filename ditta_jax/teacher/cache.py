"""The folder between student and teacher: requests go in, masklets come out.

One entry per video:

    <cache>/<video>-<request key>/
        request.json                    what the student saw: the peaks of its classes
        frames/00000.jpg ...            the warm-up frames, hard links or copies
        masklets-<teacher key>.json     one teacher's answer

The request key is taken of the frames and of the prompts that may follow (`request_json`), so the
same prompts are never asked for twice. Entries of version 1, whose key hung on every digit of the
reliabilities, are left alone and asked for anew.

Both JSON files are sealed (`ditta_jax.files`): a half-written, truncated or foreign one
is named and never used. Nothing in an entry is absolute: it can be copied to another machine.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ditta_jax.errors import UserError
from ditta_jax.files import read_regular, seal, unseal, write_atomically
from ditta_jax.names import fault_of
from ditta_jax.teacher.frame_files import Frames, describe_frames, has_digest, place_frames
from ditta_jax.teacher.masklets_json import masklets_content, masklets_from
from ditta_jax.teacher.records import ClassPeak, Masklets, Request, class_peaks, whole_video_request
from ditta_jax.teacher.request_json import (
    FromEarlierVersion,
    check_request,
    digest_of,
    request_content,
    request_from,
    request_key,
)

__all__ = [
    "ClassPeak",
    "EarlierEntry",
    "Entry",
    "Masklets",
    "Request",
    "class_peaks",
    "masklets_path",
    "masks_in_cache",
    "read_entry",
    "read_masklets",
    "request_key",
    "teacher_key",
    "whole_video_request",
    "write_masklets",
    "write_request",
]

_log = logging.getLogger(__name__)
_MOST_BYTES = 1 << 30  # of request.json or masklets
_KEY_IN_NAME = 16  # hexadecimal digits of a key that file and folder names carry


class EarlierEntry(UserError):
    """An entry that an earlier version of this program wrote: its masklets are asked for anew."""


class Entry(NamedTuple):
    """A request as it lies in the cache.

    Attributes:
        folder: the entry's folder.
        key: content key of request and frames, 64 hexadecimal digits.
        request: the request.
        frame_files: the T image files.
        frame_digests: their SHA-256.
    """

    folder: Path
    key: str
    request: Request
    frame_files: tuple[Path, ...]
    frame_digests: tuple[str, ...]


def teacher_key(identity: Mapping[str, Any]) -> str:
    """Return the key of a teacher's identity (`ditta_jax.teacher.identity`)."""
    return digest_of(identity)


def write_request(cache_dir: Path | str, request: Request, frames: Frames) -> Path:
    """Write an entry, or complete the one that is there; return its folder.

    Frames that are JPEG or PNG files become hard links, which still hold when the cache is copied
    to another machine or the originals are deleted, else copies. `request.json` comes last, so an
    entry that has it is complete.

    Raises:
        UserError: frames and request do not fit, or the cache cannot be written.
    """
    check_request(request)
    if len(frames) < len(request.frames):
        raise UserError(
            f"video {request.video!r}: {len(request.frames)} frames requested of {len(frames)}"
        )
    try:
        described = describe_frames(frames, len(request.frames))
    except ValueError as error:
        raise UserError(f"video {request.video!r}: {error}") from None
    key = request_key(request, [frame.digest for frame in described])
    folder = Path(cache_dir) / f"{folder_name(request.video)}-{key[:_KEY_IN_NAME]}"
    _refuse_links(folder)
    try:
        place_frames(folder / "frames", frames, described)
        path, data = folder / "request.json", seal(request_content(request, described))
        if not has_digest(path, hashlib.sha256(data).hexdigest()):
            write_atomically(path, data)
    except OSError as error:
        raise UserError(f"{folder}: cannot write the teacher cache ({error})") from None
    return folder


def read_entry(folder: Path) -> Entry:
    """Read a request back. UserError naming the file and the fault if it is not whole."""
    folder = Path(folder)
    _refuse_links(folder)
    path = folder / "request.json"
    try:
        request, frame_files = request_from(unseal(read_regular(path, _MOST_BYTES)))
        digests = tuple(frame.digest for frame in frame_files)
        key = request_key(request, digests)
        if not folder.resolve().name.endswith(f"-{key[:_KEY_IN_NAME]}"):
            raise ValueError("it belongs to another entry: its content does not match the folder")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except FromEarlierVersion as error:
        raise EarlierEntry(f"{path}: {error}") from None
    except (ValueError, KeyError, UserError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else error
        raise UserError(f"{path}: damaged request, run the student again ({reason})") from None
    files = tuple(folder / "frames" / frame.name for frame in frame_files)
    return Entry(folder, key, request, files, digests)


def masklets_path(folder: Path, key: str) -> Path:
    """Return where the masklets of the teacher with this key lie in an entry."""
    return Path(folder) / f"masklets-{key[:_KEY_IN_NAME]}.json"


def write_masklets(folder: Path, key: str, masklets: Masklets) -> Path:
    """Write a teacher's answer into an entry, whole or not at all; return the file."""
    entry = read_entry(folder)
    content = masklets_content(masklets, entry.request, entry.key, key)
    # Never write what is not readable.
    masklets_from(json.loads(json.dumps(content)), entry.request, entry.key, key)
    path = masklets_path(folder, key)
    write_atomically(path, seal(content))
    return path


def read_masklets(folder: Path, key: str) -> Masklets | None:
    """Read the masklets of the teacher with this key.

    Returns None if there are none, or if they are half-written, damaged, of another version or of
    another request or teacher; all but the first with one warning that names the file.
    """
    path = masklets_path(folder, key)
    try:
        data = read_regular(path, _MOST_BYTES)
        entry = read_entry(folder)
        return masklets_from(unseal(data), entry.request, entry.key, key)
    except FileNotFoundError:
        return None
    except OSError as error:
        _log.warning("%s: ignored, cannot be read (%s)", path, error.strerror)
    except (ValueError, KeyError, UserError) as error:
        _log.warning("%s: ignored and to be computed again: %s", path, error)
    return None


def masks_in_cache(cache_dir: Path | str, identity: Mapping[str, Any], entry: str) -> str | None:
    """Return the digest of the masks that a teacher's answer holds now.

    Args:
        cache_dir: the cache folder.
        identity: the teacher's.
        entry: the entry's name.

    Returns:
        None if there is no whole answer.
    """
    key = teacher_key(identity)
    if fault_of(entry) or not masklets_path(Path(cache_dir) / entry, key).is_file():
        return None
    masklets = read_masklets(Path(cache_dir) / entry, key)
    return None if masklets is None else masklets.digest()


def _refuse_links(folder: Path) -> None:
    """UserError if the entry is not a folder of its own: nothing is written where a link leads."""
    for path in (folder, folder / "frames"):
        if path.is_symlink():
            raise UserError(f"{path}: a link, expected a folder of this cache; remove the link")


def folder_name(video: str) -> str:
    """A folder name for a video; the key that follows it keeps two videos apart."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", video).lstrip(".-")[:100] or "video"

"""The folder between student and teacher: requests go in, masklets come out.

One entry per video:

    <cache>/<video>-<request key>/
        request.json                    what the student saw: the peaks of its classes
        frames/00000.jpg ...            the warm-up frames, hard links or copies
        masklets-<teacher key>.json     one teacher's answer

Both JSON files are sealed (`ditta_jax.files`): a half-written, truncated or foreign one
is named and never used. Nothing in an entry is absolute: it can be copied to another machine.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ditta_jax.errors import UserError
from ditta_jax.files import seal, unseal, write_atomically
from ditta_jax.teacher import mask_rle
from ditta_jax.teacher.frame_files import FrameFile, Frames, describe_frames, place_frames
from ditta_jax.teacher.records import ClassPeak, Masklets, Request, class_peaks

__all__ = [
    "ClassPeak",
    "Entry",
    "Masklets",
    "Request",
    "class_peaks",
    "masklets_path",
    "read_entry",
    "read_masklets",
    "request_key",
    "teacher_key",
    "write_masklets",
    "write_request",
]

_log = logging.getLogger(__name__)
_REQUEST_FORMAT, _MASKLETS_FORMAT, _VERSION = "ditta request", "ditta masklets", 1
_KEY_IN_NAME = 16  # hexadecimal digits of a key that file and folder names carry


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


def request_key(request: Request, digests: Sequence[str]) -> str:
    """Returns the content key of a request and of its frames' SHA-256 digests."""
    return _digest(_request_content(request, [FrameFile("", digest) for digest in digests]))


def teacher_key(identity: Mapping[str, Any]) -> str:
    """Returns the key of a teacher's identity (`ditta_jax.teacher.identity`)."""
    return _digest(dict(identity))


def write_request(
    cache_dir: Path | str, request: Request, frames: Frames, *, copy_frames: bool = False
) -> Path:
    """Writes an entry, or completes the one that is there; returns its folder.

    Frames that are JPEG or PNG files become hard links, which still hold when the cache is copied
    to another machine or the originals are deleted, else copies. `request.json` comes last, so an
    entry that has it is complete.

    Raises:
      UserError: frames and request do not fit, or the cache cannot be written.
    """
    _check_request(request)
    if len(frames) < len(request.frames):
        raise UserError(
            f"video {request.video!r}: {len(request.frames)} frames requested of {len(frames)}"
        )
    try:
        described = describe_frames(frames, len(request.frames))
    except ValueError as error:
        raise UserError(f"video {request.video!r}: {error}") from None
    key = request_key(request, [frame.digest for frame in described])
    folder = Path(cache_dir) / f"{_file_name(request.video)}-{key[:_KEY_IN_NAME]}"
    try:
        place_frames(folder / "frames", frames, described, copy=copy_frames)
        path, data = folder / "request.json", seal(_request_content(request, described))
        if not path.is_file() or path.read_bytes() != data:
            write_atomically(path, data)
    except OSError as error:
        raise UserError(f"{folder}: cannot write the teacher cache ({error})") from None
    return folder


def read_entry(folder: Path) -> Entry:
    """Reads a request back. UserError naming the file and the fault if it is not whole."""
    path = Path(folder) / "request.json"
    try:
        content = unseal(path.read_bytes())
        _check_format(content, _REQUEST_FORMAT)
        request = _request_from(content)
        _check_request(request)
        digests = tuple(str(frame["sha256"]) for frame in content["frames"])
        names = [str(frame["file"]) for frame in content["frames"]]
        if any(name != Path(name).name for name in names):
            raise ValueError("a frame's file name leads out of the entry")
        key = request_key(request, digests)
        if not Path(folder).resolve().name.endswith(f"-{key[:_KEY_IN_NAME]}"):
            raise ValueError("it belongs to another entry: its content does not match the folder")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise UserError(f"{path}: damaged request, run the student again ({error})") from None
    files = tuple(Path(folder) / "frames" / name for name in names)
    return Entry(Path(folder), key, request, files, digests)


def masklets_path(folder: Path, key: str) -> Path:
    """Returns where the masklets of the teacher with this key lie in an entry."""
    return Path(folder) / f"masklets-{key[:_KEY_IN_NAME]}.json"


def write_masklets(folder: Path, key: str, masklets: Masklets) -> Path:
    """Writes a teacher's answer into an entry, whole or not at all; returns the file."""
    entry = read_entry(folder)
    content = {
        "format": _MASKLETS_FORMAT,
        "version": _VERSION,
        "request_key": entry.key,
        "teacher_key": key,
        "video": entry.request.video,
        "size": list(masklets.size),
        "objects": list(masklets.objects),
        "pixels_per_class": [int(n) for n in masklets.pixels_per_class],
        "provenance": dict(masklets.provenance),
        "frames": [
            [{"object": object_id, "counts": counts} for object_id, counts in frame]
            for frame in masklets.frames
        ],
    }
    _masklets_from(json.loads(json.dumps(content)), entry, key)  # never write what is not readable
    path = masklets_path(folder, key)
    write_atomically(path, seal(content))
    return path


def read_masklets(folder: Path, key: str) -> Masklets | None:
    """Reads the masklets of the teacher with this key.

    Returns None if there are none, or if they are half-written, damaged, of another version or of
    another request or teacher; all but the first with one warning that names the file.
    """
    path = masklets_path(folder, key)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        _log.warning("%s: ignored, cannot be read (%s)", path, error.strerror)
        return None
    try:
        return _masklets_from(unseal(data), read_entry(folder), key)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, UserError) as error:
        _log.warning("%s: ignored and to be computed again: %s", path, error)
        return None


def _masklets_from(content: dict[str, Any], entry: Entry, key: str) -> Masklets:
    _check_format(content, _MASKLETS_FORMAT)
    if content["request_key"] != entry.key:
        raise ValueError("it answers another request")
    if content["teacher_key"] != key:
        raise ValueError("it comes from another teacher")
    size = tuple(content["size"])
    frames = tuple(tuple((m["object"], m["counts"]) for m in f) for f in content["frames"])
    masklets = Masklets(
        size,
        tuple(content["objects"]),
        frames,
        np.array(content["pixels_per_class"], np.int64),
        content["provenance"],
    )
    if size != entry.request.size:
        raise ValueError(f"masks of size {size}, the frames are {entry.request.size}")
    if len(frames) != len(entry.request.frames):
        raise ValueError(f"{len(frames)} frames, expected {len(entry.request.frames)}")
    if not np.array_equal(masklets.pixels_per_class, entry.request.pixels_per_class()):
        raise ValueError("pixels per class differ from the request's")
    if masklets.objects != tuple(range(1, len(masklets.objects) + 1)):
        raise ValueError("object ids are not 1, 2, ...")
    for t, frame in enumerate(frames):
        ids = [object_id for object_id, _ in frame]
        if len(set(ids)) < len(ids) or not set(ids) <= set(masklets.objects):
            raise ValueError(f"frame {t} lists an object twice or an unknown one")
        for _, counts in frame:
            mask_rle.check(counts, size)
    return masklets


def _request_content(request: Request, frames: Sequence[FrameFile]) -> dict[str, Any]:
    """The content of request.json; with empty file names, what the key is taken of."""
    return {
        "format": _REQUEST_FORMAT,
        "version": _VERSION,
        "video": request.video,
        "size": [int(n) for n in request.size],
        "num_classes": int(request.num_classes),
        "thresholds": [float(threshold) for threshold in request.thresholds],
        "max_objects": int(request.max_objects),
        "frames": [
            {"name": name, "file": frame.name, "sha256": frame.digest}
            for name, frame in zip(request.frames, frames, strict=True)
        ],
        # One list per frame of [class, reliability, y, x, pixels].
        "peaks": [
            [[int(c), float(r), int(y), int(x), int(n)] for c, r, y, x, n in sorted(frame)]
            for frame in request.peaks
        ],
    }


def _request_from(content: dict[str, Any]) -> Request:
    height, width = content["size"]
    first, later = content["thresholds"]
    return Request(
        video=content["video"],
        frames=tuple(frame["name"] for frame in content["frames"]),
        size=(height, width),
        num_classes=content["num_classes"],
        peaks=tuple(tuple(ClassPeak(*peak) for peak in frame) for frame in content["peaks"]),
        thresholds=(first, later),
        max_objects=content["max_objects"],
    )


def _check_request(request: Request) -> None:
    """UserError unless the request makes sense in itself."""
    name, (height, width) = f"video {request.video!r}", request.size
    if not request.frames:
        raise UserError(f"{name}: a request needs at least one frame")
    if len(request.peaks) != len(request.frames):
        raise UserError(f"{name}: peaks of {len(request.peaks)} frames, not {len(request.frames)}")
    for t, peaks in enumerate(request.peaks):
        for c, r, y, x, n in peaks:
            inside = 0 <= y < height and 0 <= x < width and 0 < n <= height * width
            if not (inside and 0 <= c < request.num_classes and math.isfinite(r)):
                raise UserError(f"{name}: frame {t} has an impossible peak of class {c}")
        if len({peak.class_id for peak in peaks}) < len(peaks):
            raise UserError(f"{name}: frame {t} has two peaks of one class")


def _check_format(content: dict[str, Any], name: str) -> None:
    if content.get("format") != name:
        raise ValueError(f"not a file of format {name!r}")
    if content.get("version") != _VERSION:
        raise ValueError(f"version {content.get('version')}, this program reads {_VERSION}")


def _digest(content: dict[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _file_name(video: str) -> str:
    """A folder name for a video; the key that follows it keeps two videos apart."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", video).lstrip(".")[:100] or "video"

"""A request as the content of `request.json`, back again, and the key it is filed under."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ditta_jax.errors import UserError
from ditta_jax.teacher import fields
from ditta_jax.teacher.frame_files import FrameFile
from ditta_jax.teacher.records import KINDS, ClassPeak, Request

FORMAT, VERSION = "ditta request", 2
_FILE_NAME = re.compile(r"[0-9]{5,7}\.(jpg|png)")  # as `frame_files` makes them
_DIGEST = re.compile(r"[0-9a-f]{64}")
_CONTROL = {chr(code) for code in (*range(32), 127)}


class FromEarlierVersion(ValueError):
    """A whole file that an earlier version of this program wrote."""


def request_key(request: Request, digests: Sequence[str]) -> str:
    """Return the content key of a request and of its frames' SHA-256 digests.

    The key is taken of what decides the teacher's masks: the frames, and the prompts that may
    follow from the student's peaks (`Request.candidates`: which, where, in which order). How sure
    the student was beyond that does not enter: reliabilities differ in their last bits between
    devices and versions of XLA, and the same prompts have the same answer.
    """
    candidates = [request.candidates(t) for t in range(len(request.frames))]
    return digest_of(
        {
            "format": FORMAT,
            "version": VERSION,
            "video": request.video,
            "size": [int(n) for n in request.size],
            "frames": [
                [name, digest] for name, digest in zip(request.frames, digests, strict=True)
            ],
            "prompts": [[[int(p.class_id), int(p.y), int(p.x)] for p in of] for of in candidates],
            "max_objects": min(int(request.max_objects), sum(map(len, candidates))),
        }
    )


def request_content(request: Request, frames: Sequence[FrameFile]) -> dict[str, Any]:
    """Return the content of `request.json`."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "kind": request.kind,
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


def request_from(content: Mapping[str, Any]) -> tuple[Request, tuple[FrameFile, ...]]:
    """Return request and frame files of a `request.json`; ValueError for what cannot be."""
    if content.get("format") == FORMAT and content.get("version") == 1:
        raise FromEarlierVersion("of an earlier version: delete this entry, run the student again")
    check_format(content, FORMAT, VERSION)
    listed = fields.items(content["frames"], "frames", fields.MOST_FRAMES)
    frames = [fields.mapping(frame, "a frame") for frame in listed]
    first, later = fields.items(content["thresholds"], "thresholds", 2, 2)
    request = Request(
        video=fields.text(content["video"], "video"),
        frames=tuple(fields.text(frame["name"], "a frame's name") for frame in frames),
        size=fields.size(content["size"]),
        num_classes=fields.whole(content["num_classes"], "num_classes", 1, fields.MOST_CLASSES),
        peaks=tuple(
            tuple(_peak(peak) for peak in fields.items(of_frame, "peaks", fields.MOST_CLASSES))
            for of_frame in fields.items(content["peaks"], "peaks", fields.MOST_FRAMES)
        ),
        thresholds=(fields.real(first, "a threshold"), fields.real(later, "a threshold")),
        max_objects=fields.whole(content["max_objects"], "max_objects", 0, fields.MOST_OBJECTS),
        kind=fields.text(content["kind"], "kind"),
    )
    check_request(request)
    return request, tuple(_frame_file(frame) for frame in frames)


def check_request(request: Request) -> None:
    """UserError unless the request makes sense in itself."""
    name, (height, width) = f"video {request.video!r}", request.size
    if not request.frames:
        raise UserError(f"{name}: a request needs at least one frame")
    for told in (request.video, *request.frames):
        if not told or len(told) > fields.MOST_TEXT or not _CONTROL.isdisjoint(told):
            raise UserError(f"{name}: {told[:80]!r} is no name: empty, endless or not printable")
    if max(height, width) > fields.MOST_SIDE or height * width > fields.MOST_PIXELS:
        raise UserError(f"{name}: frames of {height} x {width} pixels are too large")
    if request.kind not in KINDS:
        raise UserError(f"{name}: kind {request.kind!r}, expected one of {', '.join(KINDS)}")
    if not 1 <= request.num_classes <= fields.MOST_CLASSES:
        raise UserError(f"{name}: {request.num_classes} classes, at most {fields.MOST_CLASSES}")
    if not 0 <= request.max_objects <= fields.MOST_OBJECTS:
        raise UserError(f"{name}: max_objects {request.max_objects}, at most {fields.MOST_OBJECTS}")
    if not all(math.isfinite(threshold) for threshold in request.thresholds):
        raise UserError(f"{name}: thresholds {request.thresholds}, expected finite numbers")
    if len(request.peaks) != len(request.frames):
        raise UserError(f"{name}: peaks of {len(request.peaks)} frames, not {len(request.frames)}")
    for t, peaks in enumerate(request.peaks):
        for c, r, y, x, n in peaks:
            inside = 0 <= y < height and 0 <= x < width and 0 < n <= height * width
            if not (inside and 0 <= c < request.num_classes and math.isfinite(r)):
                raise UserError(f"{name}: frame {t} has an impossible peak of class {c}")
        if len({peak.class_id for peak in peaks}) < len(peaks):
            raise UserError(f"{name}: frame {t} has two peaks of one class")
        if sum(peak.pixels for peak in peaks) > height * width:
            raise UserError(f"{name}: the classes of frame {t} have more pixels than the frame")


def check_format(content: Mapping[str, Any], name: str, version: int) -> None:
    """ValueError unless a file is of this format and version."""
    if content.get("format") != name:
        raise ValueError(f"not a file of format {name!r}")
    if content.get("version") != version:
        raise ValueError(f"version {content.get('version')!r}, this program reads {version}")


def digest_of(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of JSON values, whatever the order of their keys."""
    canonical = json.dumps(content, sort_keys=True, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _peak(values: Any) -> ClassPeak:
    c, r, y, x, n = fields.items(values, "a peak", 5, 5)
    return ClassPeak(
        fields.whole(c, "a peak's class", 0, fields.MOST_CLASSES),
        fields.real(r, "a peak's reliability"),
        fields.whole(y, "a peak's row", 0, fields.MOST_SIDE),
        fields.whole(x, "a peak's column", 0, fields.MOST_SIDE),
        fields.whole(n, "a class's pixels", 1, fields.MOST_PIXELS),
    )


def _frame_file(frame: Mapping[str, Any]) -> FrameFile:
    name, digest = fields.text(frame["file"], "file"), fields.text(frame["sha256"], "sha256")
    if not _FILE_NAME.fullmatch(name):
        raise ValueError("a frame's file name leads out of the entry or is none of this program's")
    if not _DIGEST.fullmatch(digest):
        raise ValueError("a frame's sha256 is not one")
    return FrameFile(name, digest)

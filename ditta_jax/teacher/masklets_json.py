"""Masklets as the content of `masklets-….json`, and back again with every value checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ditta_jax.teacher import fields, mask_rle
from ditta_jax.teacher.records import Masklets, Request
from ditta_jax.teacher.request_json import check_format

FORMAT, VERSION = "ditta masklets", 1


def masklets_content(
    masklets: Masklets, request: Request, request_key: str, teacher_key: str
) -> dict[str, Any]:
    """Return the content of the file that answers a request."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "request_key": request_key,
        "teacher_key": teacher_key,
        "video": request.video,
        "size": list(masklets.size),
        "objects": list(masklets.objects),
        # For other programs: this one takes N(c) from the request of the day, whose last bits may
        # have moved a pixel without another prompt.
        "pixels_per_class": [int(n) for n in masklets.pixels_per_class],
        "provenance": dict(masklets.provenance),
        "frames": [
            [{"object": object_id, "counts": counts} for object_id, counts in frame]
            for frame in masklets.frames
        ],
    }


def masklets_from(
    content: Mapping[str, Any], request: Request, request_key: str, teacher_key: str
) -> Masklets:
    """Return the masklets of such a file; ValueError if they do not answer this request."""
    check_format(content, FORMAT, VERSION)
    if content["request_key"] != request_key:
        raise ValueError("it answers another request")
    if content["teacher_key"] != teacher_key:
        raise ValueError("it comes from another teacher")
    size = fields.size(content["size"])
    if size != tuple(request.size):
        raise ValueError(f"masks of size {size}, the frames are {request.size}")
    objects = fields.items(content["objects"], "objects", fields.MOST_OBJECTS)
    if objects != list(range(1, len(objects) + 1)) or bool in map(type, objects):
        raise ValueError("object ids are not 1, 2, ...")
    listed = fields.items(content["frames"], "frames", fields.MOST_FRAMES)
    if len(listed) != len(request.frames):
        raise ValueError(f"{len(listed)} frames, expected {len(request.frames)}")
    frames = tuple(_frame(frame, t, len(objects), size) for t, frame in enumerate(listed))
    provenance = fields.mapping(content["provenance"], "provenance")
    if provenance.get("seconds") is not None:
        fields.real(provenance["seconds"], "seconds", 0)
    return Masklets(size, tuple(objects), frames, request.pixels_per_class(), provenance)


def _frame(frame: Any, t: int, objects: int, size: tuple[int, int]) -> tuple[tuple[int, str], ...]:
    masks, seen = [], set()
    for mask in fields.items(frame, f"frame {t}", objects):
        object_id = fields.mapping(mask, "a mask")["object"]
        if type(object_id) is not int or not 1 <= object_id <= objects or object_id in seen:
            raise ValueError(f"frame {t} lists an object twice or an unknown one")
        seen.add(object_id)
        counts = mask["counts"]
        mask_rle.check(counts, size)
        masks.append((object_id, counts))
    return tuple(masks)

"""Masklets in the JSON of SA-V, the data set of SAM 2: `<video>_manual.json`, `<video>_auto.json`.

Run lengths are COCO's, one list per annotated frame; SA-V annotates every fourth frame of its
videos, which `video_frame_count` tells.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ditta_jax.errors import UserError
from ditta_jax.files import parse_json, read_regular
from ditta_jax.teacher import fields, mask_rle
from ditta_jax.teacher.records import Masklets, Request

_MOST_BYTES = 1 << 30
_MOST_STEP = 30  # frames between two annotated ones


def read_sav_masks(path: Path, request: Request) -> Masklets:
    """Read the masklets of one video; frames in between annotated ones have no objects.

    Raises:
        UserError: damaged, of another size, or of fewer frames than the request.
    """
    try:
        content = fields.mapping(parse_json(read_regular(path, _MOST_BYTES)), "the file")
        listed = fields.items(content["masklet"], "masklet", fields.MOST_FRAMES, 1)
        step = _step(content, len(listed))
        if len(request.frames) > step * len(listed):
            raise ValueError(
                f"masks of {len(listed)} frames, one in {step}; {len(request.frames)} are asked for"
            )
        size, T = request.size, len(request.frames)
        per_frame = [_masks(listed[t // step], size) if t % step == 0 else {} for t in range(T)]
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except KeyError as error:
        raise UserError(f"{path}: no masklets of SA-V: no {error}") from None
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None
    places = sorted(set().union(*per_frame))
    number = {place: n for n, place in enumerate(places, start=1)}
    frames = tuple(tuple((number[p], counts) for p, counts in of.items()) for of in per_frame)
    given = content.get("masklet_id")
    ids = given if isinstance(given, list) else []
    provenance = {
        "teacher": "SA-V",
        "file": path.name,
        "one frame in": step,
        "masklet_id": [ids[place] if place < len(ids) else place for place in places],
    }
    objects = tuple(number.values())
    return Masklets(request.size, objects, frames, request.pixels_per_class(), provenance)


def _step(content: Any, annotated: int) -> int:
    """Frames of the video per annotated one."""
    if content.get("video_frame_count") is None:
        return 1
    count = fields.real(content["video_frame_count"], "video_frame_count", 1, fields.MOST_FRAMES)
    return min(max(round(count / annotated), 1), _MOST_STEP)


def _masks(frame: Any, size: tuple[int, int]) -> dict[int, str]:
    """The masks of a frame that are not empty, by their place in its list."""
    masks = {}
    for place, mask in enumerate(fields.items(frame, "a frame", fields.MOST_OBJECTS)):
        if mask is None:  # not there on this frame
            continue
        found = fields.size(fields.mapping(mask, "a mask")["size"])
        if found != tuple(size):
            raise ValueError(f"masks of size {found}, the frames are {tuple(size)}")
        counts = mask["counts"]
        if isinstance(counts, list):
            counts = mask_rle.compress(counts, size)
        if mask_rle.area(counts, size):
            masks[place] = counts
    return masks

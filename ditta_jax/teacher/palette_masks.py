"""Folders of mask images as masklets: any tracker can teach.

Two forms, told apart by what lies in the video's folder:

    <video>/<frame>.png             pixel value = object id (DAVIS, YouTube-VOS)
    <video>/<object>/<frame>.png    one folder per object, its mask not 0 (as SAM 2 writes them)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ditta_jax.errors import UserError
from ditta_jax.teacher import mask_rle
from ditta_jax.teacher.mask_images import SUFFIXES, files_of_frames, read_ids
from ditta_jax.teacher.records import Masklets, Request

_MOST_OBJECTS = 10_000  # in a video; a picture in a mask's place has more colours


def read_palette_masks(folder: Path | str, request: Request) -> Masklets:
    """Read the masks of every frame of a request from the folder of its video.

    Objects become 1, 2, ... in ascending order of their values, or of their folders' names.

    Raises:
        UserError: no masks, or masks that are unreadable or of another size than the frames; in the
            form of DAVIS also where some frames have none.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder of masks of video {request.video!r}")
    children = sorted(folder.iterdir(), key=_natural)
    if any(path.suffix.lower() in SUFFIXES for path in children):
        return _one_image_a_frame(folder, request)
    objects = [path for path in children if path.is_dir()]
    if objects:
        return _one_folder_an_object(folder, objects, request)
    raise UserError(
        f"{folder}: no such mask of a frame as {request.frames[0]}.png in it; expected images with"
        " a value per object, or one folder of masks per object"
    )


def _one_image_a_frame(folder: Path, request: Request) -> Masklets:
    files = files_of_frames(folder, request.frames)
    missing = [name for name, file in zip(request.frames, files, strict=True) if file is None]
    if missing:
        raise UserError(
            f"{folder / missing[0]}.png: no such mask of a frame ({len(missing)} of"
            f" {len(files)} are missing); where there is no object, an image of zeros says so"
        )
    maps = [read_ids(file, request.size) for file in files if file is not None]
    values = sorted(set().union(*(np.unique(value_map).tolist() for value_map in maps)) - {0})
    if len(values) > _MOST_OBJECTS:
        raise UserError(f"{folder}: {len(values)} different values; these are no object ids")
    frames = []
    for value_map in maps:
        here = np.isin(values, value_map)
        frames.append(
            tuple(
                (number, mask_rle.encode(value_map == value))
                for number, (value, present) in enumerate(zip(values, here, strict=True), start=1)
                if present
            )
        )
    provenance = {"teacher": "palette", "folder": folder.name, "pixel_values": values}
    return _masklets(request, len(values), frames, provenance)


def _one_folder_an_object(folder: Path, objects: Sequence[Path], request: Request) -> Masklets:
    if len(objects) > _MOST_OBJECTS:
        raise UserError(f"{folder}: {len(objects)} folders, at most {_MOST_OBJECTS} objects")
    frames: list[list[tuple[int, str]]] = [[] for _ in request.frames]
    found = 0
    for number, of_object in enumerate(objects, start=1):
        # A tracker writes no file where it has lost the object.
        for t, file in enumerate(files_of_frames(of_object, request.frames)):
            if file is None:
                continue
            found += 1
            mask = read_ids(file, request.size) != 0
            if mask.any():
                frames[t].append((number, mask_rle.encode(mask)))
    if not found:
        raise UserError(
            f"{objects[0] / request.frames[0]}.png: no such mask of a frame, nor of any other frame"
            f" or of the other {len(objects) - 1} objects"
        )
    names = [path.name for path in objects]
    provenance = {"teacher": "palette", "folder": folder.name, "object_folders": names}
    return _masklets(request, len(objects), [tuple(frame) for frame in frames], provenance)


def _masklets(request: Request, objects: int, frames: Sequence[tuple], provenance) -> Masklets:
    ids = tuple(range(1, objects + 1))
    return Masklets(request.size, ids, tuple(frames), request.pixels_per_class(), provenance)


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sort 2 before 10."""
    parts = re.split(r"(\d+)", path.name)
    return [
        (int(part), "") if part.isdecimal() and len(part) < 20 else (-1, part) for part in parts
    ]

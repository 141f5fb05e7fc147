"""Masks of another tracker in the teacher's place, in whichever form they lie in a folder."""

from __future__ import annotations

from pathlib import Path

from ditta_jax.errors import UserError
from ditta_jax.names import kept_name
from ditta_jax.teacher.mask_images import SUFFIXES
from ditta_jax.teacher.palette_masks import read_palette_masks
from ditta_jax.teacher.records import Masklets, Request
from ditta_jax.teacher.sav_masks import read_sav_masks

_JSON_ENDINGS = ("", "_manual", "_auto")
FORMS = (
    "<video>/<frame>.png with a value per object, <video>/<object>/<frame>.png, or <video>.json"
    " (also <video>_manual.json, <video>_auto.json) as in SA-V"
)


def read_imported_masks(folder: Path, request: Request) -> Masklets:
    """Return the masks that lie in a folder under the name of the request's video.

    Raises:
        UserError: there are none, or they do not fit the request.
    """
    name = kept_name(request.video)
    if (folder / name).is_dir():
        return read_palette_masks(folder / name, request)
    for ending in _JSON_ENDINGS:
        file = folder / kept_name(request.video + ending, ".json")
        if file.is_file():
            return read_sav_masks(file, request)
    raise UserError(f"{folder}: no masks of video {request.video!r}; expected {FORMS}")


def mask_files(folder: Path) -> list[Path]:
    """Return all files of a folder that masks are read from."""
    nested = (path for depth in ("*/*", "*/*/*") for path in folder.glob(depth))
    images = (path for path in nested if path.suffix.lower() in SUFFIXES)
    return sorted([*images, *folder.glob("*.json")])

"""Where videos lie: folders of frames with or without masks, files, and data sets' roots.

A video is a folder of pictures, a folder with one folder of frames (`origin`, `images`,
`JPEGImages`, …) and one of masks (`mask`, `labels`, `Annotations`, …), or a video file. Several
videos lie side by side in a folder; in `data/` of one (VSPW); or as sub-folders of one folder of
frames and of one of masks, with a size in between or not (DAVIS, YouTube-VOS).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ditta_jax.data.image_files import SUFFIXES
from ditta_jax.data.images import looks_like_masks
from ditta_jax.errors import UserError

FRAME_FOLDERS = (
    *("origin", "images", "image", "imgs", "img", "frames", "rgb"),
    *("jpegimages", "leftimg8bit", "color"),
)
MASK_FOLDERS = (
    *("mask", "masks", "label", "labels", "annotations", "annotation", "gt", "gtfine"),
    *("groundtruth", "ground_truth", "segmentation", "segmentations", "semantic"),
    *("gts", "seg", "segs", "segmentationclass"),
)
VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts"),
    *(".wmv", ".flv", ".3gp", ".ogv", ".y4m"),
)
_SIZES = ("480p", "1080p", "Full-Resolution")  # of DAVIS, the first that is there


class Place(NamedTuple):
    """Where one video lies.

    Attributes:
        name: unique among the videos found.
        frames: folder of frames, or a video file.
        masks: folder of masks, or None; they may also lie between the frames.
    """

    name: str
    frames: Path
    masks: Path | None = None


def natural_key(name: str) -> tuple:
    """Sorting key that puts frame 2 before frame 10.

    Digits count as numbers; names that differ only in leading zeros are ordered as text.
    """
    parts = re.split(r"([0-9]+)", name)
    return ([(int(p), "") if i % 2 else (-1, p) for i, p in enumerate(parts)], name)


def find_videos(folder: Path) -> list[Place]:
    """The videos in a folder: the folder itself, or what lies in it.

    Returns:
        places in natural order.

    Raises:
        UserError: no video in it.
    """
    own = place_of(folder)
    if own is not None:
        return [own]
    found = _of_a_root(folder) or _side_by_side(folder)
    if not found:
        raise UserError(f"{folder}: {_what_is_there(folder)}")
    return _unique(found)


def place_of(folder: Path) -> Place | None:
    """A folder that is one video; None if it is none."""
    name = folder.resolve().name
    inside = _folders(folder)
    masks = [f for f in inside if f.name.lower() in MASK_FOLDERS and images(f)]
    if images(folder):
        return Place(name, folder, _only(folder, masks))
    frames = [f for f in inside if f.name.lower() in FRAME_FOLDERS and images(f)]
    others = [f for f in inside if f not in frames and f not in masks and images(f)]
    if not frames or (others and not masks and frames[0].name != "origin"):
        _refuse_empty_frames(inside)
        return None
    frames_folder = _only(folder, frames)
    assert frames_folder is not None
    empty = [f for f in inside if f.name.lower() in MASK_FOLDERS and not any(f.iterdir())]
    if empty and not masks:
        raise UserError(f"{empty[0]}: no images here; expected masks, or no such folder")
    return Place(name, frames_folder, _only(folder, masks))


def _refuse_empty_frames(inside: list[Path]) -> None:
    """Refuse a folder that was meant to be a video with masks, but has no frames."""
    for empty in inside:
        if empty.name.lower() == "origin" and not any(_folders(empty)):
            raise UserError(f"{empty}: no images here; expected {', '.join(SUFFIXES)} files")


def _only(folder: Path, found: list[Path]) -> Path | None:
    if len(found) > 1:
        both = " and ".join(f.name for f in found)
        raise UserError(f"{folder}: {both} could both be meant; move one of them elsewhere")
    return found[0] if found else None


def _side_by_side(folder: Path) -> list[Place]:
    places = [p for f in _folders(folder) if (p := place_of(f)) is not None]
    _refuse_masks_as_videos(places)
    return places + [Place(file.stem, file) for file in video_files(folder)]


def _refuse_masks_as_videos(places: list[Place]) -> None:
    """Refuse folders of masks that lie beside their frames under a name that is not known here."""
    alone = [place for place in places if place.masks is None]
    flat = [place for place in alone if looks_like_masks(images(place.frames))]
    for place in flat if len(flat) < len(alone) else ():
        names = {file.stem for file in images(place.frames)}
        for other in alone:
            if other not in flat and names & {file.stem for file in images(other.frames)}:
                raise UserError(
                    f"{place.frames}: few colours, and the names of the frames in {other.name}:"
                    " these look like its masks. Name the folder 'mask', or move it elsewhere if"
                    " it is a video"
                )


def _of_a_root(folder: Path) -> list[Place]:
    """Videos of a data set's root."""
    inside = _folders(folder)
    for data in inside:
        if data.name == "data" and (places := _side_by_side(data)):
            return places
    frames = [f for f in inside if f.name.lower() in FRAME_FOLDERS]
    masks = [f for f in inside if f.name.lower() in MASK_FOLDERS]
    if len(frames) != 1 or len(masks) > 1:
        return []
    for size in ("", *_SIZES):
        videos = [f for f in _folders(frames[0] / size) if images(f)]
        if videos:
            of = masks[0] / size if masks else None
            return [
                Place(f.name, f, of / f.name if of and images(of / f.name) else None)
                for f in videos
            ]
    return []


def _unique(places: list[Place]) -> list[Place]:
    """The places in order; files of one name and several suffixes are named with their suffix."""
    count = Counter(place.name for place in places)
    named = [p._replace(name=p.frames.name) if count[p.name] > 1 else p for p in places]
    return sorted(named, key=lambda place: natural_key(place.name))


def images(folder: Path) -> list[Path]:
    """The pictures that lie in a folder, in natural order; none where there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted(_visible(folder, SUFFIXES), key=lambda file: natural_key(file.stem))


def video_files(folder: Path) -> list[Path]:
    """The video files that lie in a folder."""
    return sorted(_visible(folder, VIDEO_SUFFIXES), key=lambda file: natural_key(file.name))


def _visible(folder: Path, suffixes: Iterable[str]) -> list[Path]:
    return [
        file
        for file in _listed(folder)
        if file.suffix.lower() in suffixes and not file.name.startswith(".") and not file.is_dir()
    ]


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    inside = [f for f in _listed(folder) if f.is_dir() and not f.name.startswith(".")]
    return sorted(inside, key=lambda f: natural_key(f.name))


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise UserError(f"{folder}: cannot list it: {error.strerror}") from error


def _what_is_there(folder: Path) -> str:
    """Why no video was found."""
    inside = _listed(folder)
    expected = (
        f"expected {', '.join(SUFFIXES)} files, a folder of frames and one of masks"
        " (origin/ and mask/), video files, or folders of these"
    )
    if not inside:
        return f"the folder is empty, no frames here; {expected}"
    if all(file.name.startswith(".") for file in inside):
        return f"only hidden files, no frames here; {expected}"
    suffixes = sorted({file.suffix.lower() for file in inside if file.is_file()} - {""})
    found = f" (found {', '.join(suffixes[:5])})" if suffixes else ""
    return f"no frames here{found}; {expected}"

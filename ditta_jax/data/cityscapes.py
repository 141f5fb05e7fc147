"""Cityscapes' sequences (Cordts et al., CVPR 2016) as they are published, read in place.

    <root>/leftImg8bit_sequence/<split>/<city>/<city>_<seq>_<frame>_leftImg8bit.png
    <root>/gtFine/<split>/<city>/<city>_<seq>_<frame>_gtFine_labelIds.png (or _labelTrainIds)

A video is a snippet of 30 frames whose 20th is labelled.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from ditta_jax.data.folder import Clip
from ditta_jax.errors import UserError

SPLITS = ("train", "val", "test")
SNIPPET = 30  # frames
_LABELLED = 19  # of a snippet, counted from 0
_FRAME = "_leftImg8bit.png"
_MASKS = ("_gtFine_labelTrainIds.png", "_gtFine_labelIds.png")  # the first that is there


class _Name(NamedTuple):
    """A frame's name: drive and number in it."""

    city: str
    sequence: str
    frame: int


def clips_of(root: Path, split: str) -> list[Clip]:
    """The snippets of a split, in order of their names.

    Raises:
        UserError: no such split, no frames, or labels whose frames are not there.
    """
    if split not in SPLITS:
        raise UserError(
            f"data.split: Cityscapes has no split {split!r}; known: {', '.join(SPLITS)}"
        )
    frames = _files(root / "leftImg8bit_sequence" / split, (_FRAME,))
    if not frames:
        raise UserError(
            f"{root / 'leftImg8bit_sequence' / split}: no frames <city>/*{_FRAME}; unpack"
            " leftImg8bit_sequence_trainvaltest.zip into data.path"
        )
    masks = _files(root / "gtFine" / split, _MASKS)
    lost = [mask for name, mask in masks.items() if name not in frames]
    if lost:
        raise UserError(
            f"{lost[0]}: its frame is not in leftImg8bit_sequence ({len(lost)} such); unpack the"
            " whole archive"
        )
    return [_clip(names, frames, masks) for names in _snippets(frames, masks)]


def _files(folder: Path, endings: tuple[str, ...]) -> dict[_Name, Path]:
    """Files by what they show; of several of one frame, that with the first ending."""
    found: dict[_Name, Path] = {}
    for ending in reversed(endings):
        for file in sorted(folder.glob(f"*/*{ending}")):
            if file.name.startswith("."):
                continue
            city, _, rest = file.name.removesuffix(ending).partition("_")
            sequence, _, number = rest.partition("_")
            if not number.isdecimal():
                raise UserError(f"{file}: expected a name <city>_<seq>_<frame>{ending}")
            found[_Name(city, sequence, int(number))] = file
    return dict(sorted(found.items()))


def _snippets(frames: dict[_Name, Path], masks: dict[_Name, Path]) -> list[list[_Name]]:
    """Frames that follow each other; around a labelled one as many as were published with it."""
    drives: dict[tuple[str, str], list[_Name]] = defaultdict(list)
    for name in frames:
        drives[name.city, name.sequence].append(name)
    snippets: list[list[_Name]] = []
    for (city, sequence), names in drives.items():
        left = set(names)
        for labelled in (name for name in names if name in masks):
            first = labelled.frame - _LABELLED
            wanted = [_Name(city, sequence, first + i) for i in range(SNIPPET)]
            snippets.append([name for name in wanted if name in left])
            left -= set(wanted)
        snippets += _runs(sorted(left))
    return sorted(snippets)


def _runs(names: list[_Name]) -> list[list[_Name]]:
    """Unlabelled frames in runs of consecutive numbers, a snippet at most."""
    runs: list[list[_Name]] = []
    for name in names:
        if runs and name.frame == runs[-1][-1].frame + 1 and len(runs[-1]) < SNIPPET:
            runs[-1].append(name)
        else:
            runs.append([name])
    return runs


def _clip(names: list[_Name], frames: dict[_Name, Path], masks: dict[_Name, Path]) -> Clip:
    first = frames[names[0]].name.removesuffix(_FRAME)
    own = {frames[name]: masks[name] for name in names if name in masks}
    warnings: tuple[str, ...] = ()
    if len(names) < SNIPPET:
        warnings = (f"{first}: {len(names)} of {SNIPPET} frames are there",)
    return Clip(first, tuple(frames[name] for name in names), own, warnings)

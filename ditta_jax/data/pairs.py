"""Which mask belongs to which frame, by their names.

Names that are equal belong together. Where that leaves masks over, patterns say what a name is
beside what it names: `*_mask` says that `street_1_mask` is about `street_1`. Where that is not
enough, numbers count as numbers: `0` is `00000`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from ditta_jax.errors import UserError

FRAME_NAMES = (
    *("*_leftImg8bit", "*_rgb", "*_image", "*_img", "*_frame"),
    *("rgb_*", "image_*", "img_*", "frame_*"),
)
# The first pattern wins where a frame has several masks (Cityscapes).
MASK_NAMES = (
    *("*_gtFine_labelTrainIds", "*_gtFine_labelIds", "*_gtFine_color"),
    *("*_gtCoarse_labelTrainIds", "*_gtCoarse_labelIds", "*_gtCoarse_color"),
    *("*_labelTrainIds", "*_labelIds", "*_masks", "*_mask", "*_labels", "*_label", "*_gt"),
    *("*_segmentation", "*_seg", "*_annotation", "*_L"),
    *("mask_*", "label_*", "gt_*", "seg_*"),
)
# Companions of label maps that hold something else.
_OTHERS = ("_instanceids", "_instancetrainids", "_polygons")


class Names(NamedTuple):
    """How files are named; each pattern has one `*`.

    Attributes:
        frames: of frames.
        masks: of masks.
    """

    frames: tuple[str, ...] = FRAME_NAMES
    masks: tuple[str, ...] = MASK_NAMES


def names_with(frames: Sequence[str], masks: Sequence[str]) -> Names:
    """The patterns that are known, after those of a configuration.

    Raises:
        UserError: a pattern without exactly one `*`.
    """
    for key, patterns in (("data.frame_names", frames), ("data.mask_names", masks)):
        for pattern in patterns:
            if pattern and pattern.count("*") != 1:
                raise UserError(
                    f"{key}: {pattern!r} needs one '*' for what frame and mask have in common,"
                    " as in '*_mask'"
                )
    return Names(
        (*filter(None, frames), *FRAME_NAMES),
        (*filter(None, masks), *MASK_NAMES),
    )


def apart(files: Sequence[Path], names: Names) -> tuple[list[Path], list[Path]]:
    """Frames and masks that lie in one folder (`x.png` and `x_mask.png`).

    A file is a mask if its name says so and there is a frame that it is about.
    """
    said = {file: core for file in files if (core := _core(file.stem, names.masks)[1])}
    others = [file for file in files if file not in said and not _is_other(file)]
    known = {_text(file.stem) for file in others}
    known |= {_text(_core(file.stem, names.frames)[1] or file.stem) for file in others}
    masks = [file for file, core in said.items() if _text(core) in known]
    if not masks:
        return list(files), []
    return [file for file in files if file not in masks and not _is_other(file)], masks


def match(
    frames: Sequence[Path], masks: Sequence[Path], names: Names, where: Path
) -> dict[Path, Path]:
    """Frame to mask; a frame may have none.

    Args:
        frames: in any order.
        masks: in any order.
        names: patterns.
        where: the folder of the frames, for messages.

    Raises:
        UserError: a mask without a frame, or two frames or masks that are the same by name.
    """
    masks = [mask for mask in masks if not _is_other(mask)] or list(masks)
    best: dict[Path, Path] = {}
    left = list(masks)
    for key_of in _keys(names):
        found, missed = _matched(frames, masks, key_of)
        if len(found) > len(best) or not missed:
            best, left = found, missed
        if not missed:
            return best
    if left:
        raise UserError(
            f"{left[0]}: this mask has no frame in {where}; rename it, or say by data.frame_names"
            " and data.mask_names what both have in common"
        )
    return best


def _keys(names: Names) -> list[Callable[[Path, bool], tuple[int, object]]]:
    """Ways to say what a file is about, the strictest first: (file, is mask) to (rank, key)."""

    def whole(file: Path, is_mask: bool) -> tuple[int, object]:
        return 0, file.stem

    def by(strip_frames: bool, strip_masks: bool, read: Callable[[str], object]):
        def key_of(file: Path, is_mask: bool) -> tuple[int, object]:
            if not (strip_masks if is_mask else strip_frames):
                return 0, read(file.stem)
            rank, text = _core(file.stem, names.masks if is_mask else names.frames)
            return rank, read(text or file.stem)

        return key_of

    strips = [(False, False), (False, True), (True, False), (True, True)]
    return [whole, *(by(*strip, read) for read in (_text, _numbers) for strip in strips)]


def _matched(frames, masks, key_of) -> tuple[dict[Path, Path], list[Path]]:
    """Pairs, and the masks that are left over; where a key says too little, all masks are."""
    by_key: dict[object, Path] = {}
    for frame in frames:
        if by_key.setdefault(key_of(frame, False)[1], frame) is not frame:
            return {}, list(masks)
    chosen: dict[object, tuple[int, Path]] = {}
    for mask in masks:
        rank, key = key_of(mask, True)
        if key in chosen and chosen[key][0] == rank:
            return {}, list(masks)
        if key not in chosen or rank < chosen[key][0]:
            chosen[key] = rank, mask
    pairs = {by_key[key]: mask for key, (_, mask) in chosen.items() if key in by_key}
    return pairs, [mask for key, (_, mask) in chosen.items() if key not in by_key]


def _core(stem: str, patterns: Sequence[str]) -> tuple[int, str]:
    """The first pattern that a name matches, and what stands for its `*`; empty if none does."""
    for rank, pattern in enumerate(patterns):
        before, after = pattern.lower().split("*")
        low = stem.lower()
        if low.startswith(before) and low.endswith(after) and len(low) > len(before + after):
            return rank, stem[len(before) : len(stem) - len(after)]
    return len(patterns), ""


def _is_other(file: Path) -> bool:
    return file.stem.lower().endswith(_OTHERS)


def _text(name: str) -> str:
    return name.lower()


def _numbers(name: str) -> tuple[object, ...]:
    """A name with its digits as numbers."""
    parts = re.split(r"(\d+)", name.lower())
    return tuple(int(p) if p.isdecimal() and p.isascii() else p for p in parts)

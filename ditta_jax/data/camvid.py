"""CamVid (Brostow et al., 2009) in the edition of 11 classes that most papers use.

    <root>/{train,val,test}/<drive>_<frame>.png, <root>/{train,val,test}annot/ with the same names

Mask values are the 11 classes, 11 is void. A video is what a split has of one drive: frames about
one second apart.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from ditta_jax.data.folder import Clip
from ditta_jax.data.layouts import images
from ditta_jax.errors import UserError

SPLITS = ("train", "val", "test")
VOID = 11


def clips_of(root: Path, split: str) -> list[Clip]:
    """What a split has of each drive, in order of their names.

    Raises:
        UserError: no such split, or frames and masks that do not match.
    """
    if split not in SPLITS:
        raise UserError(f"data.split: CamVid has no split {split!r}; known: {', '.join(SPLITS)}")
    frames = {file.stem: file for file in images(root / split)}
    masks = {file.stem: file for file in images(root / f"{split}annot")}
    if not frames:
        raise UserError(f"{root / split}: no frames; expected {split}/ and {split}annot/ there")
    for some, others, what in ((frames, masks, "mask"), (masks, frames, "frame")):
        lone = [file for stem, file in some.items() if stem not in others]
        if lone:
            raise UserError(f"{lone[0]}: it has no {what} of this name ({len(lone)} such)")
    drives: dict[str, list[str]] = defaultdict(list)
    for stem in frames:
        drives[stem.rpartition("_")[0]].append(stem)
    return [
        Clip(drive, tuple(frames[stem] for stem in stems), {frames[s]: masks[s] for s in stems})
        for drive, stems in sorted(drives.items())
    ]

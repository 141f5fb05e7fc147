"""VSPW (Miao et al., CVPR 2021) as it is published, read in place.

    <root>/data/<video>/origin/<frame>.jpg, mask/<frame>.png; train.txt, val.txt, test.txt

Frame numbers have gaps; frames follow each other in the order of their numbers. Masks hold label
+ 1, 0 and 255 are void, and 252 occurs and means nothing (see `masks`). A mask whose frame the
480p edition lacks is left out with a warning.
"""

from __future__ import annotations

from pathlib import Path

from ditta_jax.data.folder import Clip
from ditta_jax.data.layouts import images
from ditta_jax.data.video_list import read_list
from ditta_jax.errors import UserError

SPLITS = ("train", "val", "test")
_SHOWN = 5


def root_of(path: Path) -> Path:
    """The folder that holds `data/`: the path itself or the archive's folder in it.

    Raises:
        UserError: it is not there.
    """
    for folder in (path, *sorted(path.glob("VSPW*"))):
        if (folder / "data").is_dir():
            return folder
    raise UserError(
        f"{path}: this is not VSPW: expected data/<video>/origin and train.txt, val.txt, test.txt"
    )


def video_names(root: Path, split: str) -> list[str]:
    """The videos of a split, in its order.

    Raises:
        UserError: no such split, or videos that are not there.
    """
    if split not in SPLITS:
        raise UserError(f"data.split: VSPW has no split {split!r}; known: {', '.join(SPLITS)}")
    if not (root / f"{split}.txt").is_file():
        raise UserError(f"{root / split}.txt: no such file; it lists the videos of data.split")
    names = read_list(str(root / f"{split}.txt"))
    missing = [name for name in names if not (root / "data" / name / "origin").is_dir()]
    if missing:
        shown = ", ".join(missing[:_SHOWN]) + (", …" if len(missing) > _SHOWN else "")
        raise UserError(
            f"{root / 'data'}: {len(missing)} of the {len(names)} videos of {split}.txt are not"
            f" there: {shown}; unpack the whole archive, or name those you have in data.list"
        )
    return names


def clip_of(root: Path, name: str) -> Clip:
    """The files of one video.

    Raises:
        UserError: no frames.
    """
    folder = root / "data" / name
    frames = images(folder / "origin")
    if not frames:
        raise UserError(f"{folder / 'origin'}: no frames here")
    by_stem = {frame.stem: frame for frame in frames}
    masks = {mask.stem: mask for mask in images(folder / "mask")}
    without = [mask for stem, mask in masks.items() if stem not in by_stem]
    warnings: tuple[str, ...] = ()
    if without:
        warnings = (f"{name}: {len(without)} masks have no frame, the first {without[0].name}",)
    pairs = {by_stem[stem]: mask for stem, mask in masks.items() if stem in by_stem}
    return Clip(name, tuple(frames), pairs, warnings)

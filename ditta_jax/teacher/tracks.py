"""Tracked objects of a video as a value: from arrays, from files, or from the teacher's cache."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int
from PIL import Image, UnidentifiedImageError

from ditta_jax.errors import UserError
from ditta_jax.files import unseal
from ditta_jax.teacher import mask_rle
from ditta_jax.teacher.cache import read_masklets
from ditta_jax.teacher.palette_masks import read_palette_masks
from ditta_jax.teacher.records import Masklets, Request
from ditta_jax.teacher.sav_masks import read_sav_masks


class Tracks(NamedTuple):
    """Masks of the objects of a video, run-length encoded; masks of a frame may overlap.

    Attributes:
        size: (H, W).
        objects: ids, ascending from 1.
        frames: per frame, (id, COCO compressed run lengths) of the objects that it shows. Of
            overlapping objects with equal votes, the later in this list wins.
        lr: learning rate that the teacher's own card asks for; None if it has none.
    """

    size: tuple[int, int]
    objects: tuple[int, ...]
    frames: tuple[tuple[tuple[int, str], ...], ...]
    lr: float | None = None

    @staticmethod
    def from_masks(masks: Bool[np.ndarray, "T O H W"]) -> Tracks:
        """Tracks of an array: frame, object, row, column; an empty mask means not there.

        Raises:
            UserError: the array is not boolean, or has other than four axes.
        """
        masks = np.asarray(masks)
        if masks.dtype != bool or masks.ndim != 4 or 0 in (masks.shape[0], *masks.shape[2:]):
            raise UserError(
                "tracks: masks must be bool [frame, object, height, width], not "
                f"{masks.dtype} {list(masks.shape)}"
            )
        T, O, H, W = masks.shape
        frames = tuple(
            tuple((o + 1, mask_rle.encode(masks[t, o])) for o in range(O) if masks[t, o].any())
            for t in range(T)
        )
        return Tracks((H, W), tuple(range(1, O + 1)), frames)

    @staticmethod
    def from_davis(folder: str | Path) -> Tracks:
        """Tracks of one PNG a frame whose values are objects, as DAVIS and YouTube-VOS have them.

        Frames come in the order of their names; 0 is no object.

        Raises:
            UserError: no PNGs, or one that is no such map or of another size.
        """
        files = sorted(Path(folder).glob("*.png"))
        if not files:
            raise UserError(f"{folder}: no PNGs of objects here, one a frame")
        try:
            with Image.open(files[0]) as first:
                size = (first.height, first.width)
        except (OSError, UnidentifiedImageError) as error:
            raise UserError(f"{files[0]}: not a PNG that can be read ({error})") from error
        return _of(read_palette_masks(folder, _request([file.stem for file in files], size)))

    @staticmethod
    def from_sav(file: str | Path, frames: int, size: tuple[int, int]) -> Tracks:
        """Tracks of a JSON file as SA-V, SAM 2's data set, has them.

        Args:
            file: `<video>_manual.json` or `<video>_auto.json`.
            frames: how many of the video's first frames are wanted.
            size: (H, W) of the frames.

        Raises:
            UserError: the file is damaged, of another size or of fewer frames.
        """
        names = [f"{t:05d}" for t in range(frames)]
        return _of(read_sav_masks(Path(file), _request(names, size)))

    @staticmethod
    def from_cache(entry: str | Path) -> Tracks:
        """Tracks that a teacher left in its entry of a cache, `<cache>/<video>-<key>`.

        Raises:
            UserError: there are none, those of several teachers, or damaged ones.
        """
        files = sorted(Path(entry).glob("masklets-*.json"))
        if len(files) != 1:
            found = f"{len(files)} teachers'" if files else "no"
            raise UserError(f"{entry}: {found} masklets here, expected masklets-….json of one")
        try:
            key = str(unseal(files[0].read_bytes())["teacher_key"])
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"{files[0]}: damaged masklets ({error})") from error
        masklets = read_masklets(Path(entry), key)
        if masklets is None:
            raise UserError(f"{files[0]}: these masklets cannot be used")
        return _of(masklets)

    @property
    def length(self) -> int:
        """T, how many frames there are masks of."""
        return len(self.frames)

    def decode(self, t: int) -> tuple[Int[np.ndarray, " n"], Bool[np.ndarray, "n H W"]]:
        """Ids and masks of the objects of frame t, in the frame's order."""
        ids = np.array([number for number, _ in self.frames[t]], np.int64)
        masks = np.zeros((ids.size, *self.size), bool)
        for mask, (_, counts) in zip(masks, self.frames[t], strict=True):
            mask[:] = mask_rle.decode(counts, self.size)
        return ids, masks

    def masks(self) -> Bool[np.ndarray, "T O H W"]:
        """All masks as `from_masks` takes them."""
        found = np.zeros((self.length, len(self.objects), *self.size), bool)
        for t in range(self.length):
            ids, masks = self.decode(t)
            found[t, ids - 1] = masks
        return found


def _of(masklets: Masklets) -> Tracks:
    return Tracks(masklets.size, masklets.objects, masklets.frames)


def _request(names: list[str], size: tuple[int, int]) -> Request:
    """What readers of masks are told of frames without a student's labels."""
    return Request("tracks", tuple(names), size, 1, ((),) * len(names))

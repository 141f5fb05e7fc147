"""Videos from folders of pictures, with a mask for each frame, for some, or for none."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ditta_jax.data.faults import fault_of_frame, fault_of_mask, sampled
from ditta_jax.data.image_files import SUFFIXES, read_header
from ditta_jax.data.images import decode_frame, shown_as_stored, upright_encoding
from ditta_jax.data.layouts import Place, images, place_of
from ditta_jax.data.masks import MaskRules, check_rules, read_labels
from ditta_jax.data.pairs import Names, apart, match
from ditta_jax.data.video import FrameSequence, LabelSequence, Video, check_index, said_of_gaps
from ditta_jax.errors import UserError
from ditta_jax.files import open_regular


class FolderRules(NamedTuple):
    """How folders are read.

    Attributes:
        masks: what their values mean.
        names: how frames and masks are called.
        damaged: "refuse" a damaged frame when it is read, or "keep" the others, which reads all of
            them at the start.
        max_frames: 0: all.
        one_size: whether all frames must have the first one's size (`Video.size`).
    """

    masks: MaskRules = MaskRules()
    names: Names = Names()
    damaged: str = "refuse"
    max_frames: int = 0
    one_size: bool = True


def open_folder(
    place: Place | Path, rules: FolderRules | None = None, mask_rules: MaskRules | None = None
) -> Video:
    """Open one folder as a video; of its frames only the first one's header is read.

    Args:
        place: where frames and masks lie; a path: the layout is found out.
        rules: how it is read.
        mask_rules: in place of those of `rules`.

    Raises:
        UserError: no frames, two frames of one name, a mask without frame.
    """
    rules = rules or FolderRules()
    rules = rules._replace(masks=check_rules(mask_rules or rules.masks))
    if isinstance(place, Path):
        folder, found = place, place_of(place)
        if found is None:
            raise UserError(f"{folder}: no images here; expected {', '.join(SUFFIXES)} files")
        place = found
    frames, masks = _frames_and_masks(place, rules.names)
    return open_clip(Clip(place.name, tuple(frames), masks), rules)


class Clip(NamedTuple):
    """A video's files.

    Attributes:
        name: of the video.
        frames: in order.
        masks: of the frames that have one.
        warnings: see `Video`.
    """

    name: str
    frames: tuple[Path, ...]
    masks: dict[Path, Path]
    warnings: tuple[str, ...] = ()


def open_clip(clip: Clip, rules: FolderRules) -> Video:
    """Open the files of a clip as a video."""
    frames, warnings = _whole_frames(clip.frames, rules.damaged)
    frames, warnings = frames[: rules.max_frames or None], clip.warnings + warnings
    sequence = _FolderFrames(frames, rules.one_size)
    if not clip.masks:
        return Video(clip.name, sequence.size, sequence, None, warnings)
    size = sequence.size if rules.one_size else None
    own = [clip.masks.get(frame) for frame in frames]
    labels = _FolderLabels(own, size, rules.masks, frames)
    warnings += said_of_gaps(clip.name, own.count(None), len(frames))
    return Video(clip.name, sequence.size, sequence, labels, warnings)


def _frames_and_masks(place: Place, names: Names) -> tuple[list[Path], dict[Path, Path]]:
    """A video's frames in order, and the mask of each that has one."""
    found = images(place.frames)
    if not found:
        raise UserError(f"{place.frames}: no images here; expected {', '.join(SUFFIXES)} files")
    if place.masks is None:
        frames, masks = apart(found, names)
    else:
        frames, masks = found, images(place.masks)
    _check_doubles(frames)
    _check_doubles(masks)
    return frames, match(frames, masks, names, place.frames)


def _check_doubles(files: Sequence[Path]) -> None:
    seen: dict[str, Path] = {}
    for file in files:
        if file.stem in seen:
            raise UserError(
                f"{file}: the same frame as {seen[file.stem].name}; remove one of them, or put"
                " masks into a folder of their own"
            )
        seen[file.stem] = file


def _whole_frames(files: Sequence[Path], damaged: str) -> tuple[list[Path], tuple[str, ...]]:
    """The frames that are to be used, and what is to be said of the others."""
    if damaged != "keep":
        return list(files), ()
    whole, faults = [], []
    for file in files:
        try:
            decode_frame(_read(file), str(file))
            whole.append(file)
        except UserError as error:
            faults.append(str(error))
    if not whole:
        raise UserError(faults[0])
    if not faults:
        return whole, ()
    return whole, (
        f"{len(whole)} of {len(files)} frames are good, the others are left out: {faults[0]}",
    )


def _read(file: Path) -> bytes:
    try:
        with open_regular(file) as opened:
            return opened.read()
    except OSError as error:
        raise UserError(f"{file}: cannot read it: {error.strerror}") from error


class _FolderFrames(FrameSequence):
    """Frames in one file each.

    Attributes:
        size: (H, W) of the first frame, upright.
    """

    def __init__(self, files: list[Path], one_size: bool):
        self._files, self._one_size = files, one_size
        self.size: tuple[int, int] = read_header(files[0]).size
        self._as_stored: dict[int, bool] = {}

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> np.ndarray:
        file = self.path(index)
        return decode_frame(_read(file), str(file), self.size if self._one_size else None)

    def path(self, index: int) -> Path:
        """The file of a frame, whatever its form."""
        return self._files[check_index(index, len(self))]

    def frame_name(self, index: int) -> str:
        """See `FrameSequence`."""
        return self.path(index).stem

    def file(self, index: int) -> Path | None:
        """See `FrameSequence`; None where a reader that knows no orientation would go wrong."""
        file = self.path(index)
        if index not in self._as_stored:
            self._as_stored[index] = shown_as_stored(_read(file), str(file))
        return file if self._as_stored[index] else None

    def encoded(self, index: int) -> bytes:
        """See `FrameSequence`."""
        file = self.path(index)
        return upright_encoding(_read(file), str(file))

    def faults(self) -> list[str]:
        """See `FrameSequence`; of every file's header and end."""
        size = self.size if self._one_size else None
        return [fault for file in self._files if (fault := fault_of_frame(file, size))]

    def digest(self) -> str:
        """See `FrameSequence`; of the files as they are."""
        total = hashlib.sha256()
        for file in self._files:
            total.update(f"{file.stem}\n".encode() + hashlib.sha256(_read(file)).digest())
        return total.hexdigest()


class _FolderLabels(LabelSequence):
    """Masks in one file each; None where a frame has none."""

    def __init__(
        self,
        files: list[Path | None],
        size: tuple[int, int] | None,
        rules: MaskRules,
        frames: list[Path],
    ):
        self._files, self._size, self._rules, self._frames = files, size, rules, frames

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> np.ndarray | None:
        file = self.path(index)
        if file is None:
            return None
        return read_labels(_read(file), str(file), self._size, rules_of(file, self._rules))

    def faults(self) -> list[str]:
        """See `LabelSequence`; of every file's header, and the values of some."""
        pairs = [(m, f) for m, f in zip(self._files, self._frames, strict=True) if m is not None]
        found = [fault for mask, frame in pairs if (fault := fault_of_mask(mask, frame))]
        if found:
            return found
        for index in sampled([i for i, mask in enumerate(self._files) if mask], self._size):
            try:
                self[index]
            except UserError as error:
                found.append(str(error))
        return found

    def labelled(self, index: int) -> bool:
        """See `LabelSequence`."""
        return self.path(index) is not None

    def digest(self, start: int = 0) -> str:
        """See `LabelSequence`; of the files' bytes and how they are read."""
        total = hashlib.sha256(repr(self._rules._replace(num_classes=0)).encode())
        for file in self._files[start:]:
            total.update(hashlib.sha256(_read(file)).digest() if file else b"none")
        return total.hexdigest()

    def path(self, index: int) -> Path | None:
        """The file of a frame's mask."""
        return self._files[check_index(index, len(self))]


def rules_of(file: Path, rules: MaskRules) -> MaskRules:
    """The rules for one mask: Cityscapes' file names say what their values are."""
    name = file.stem.lower()
    if name.endswith("_labeltrainids"):
        return rules._replace(convention="plain", ignore=(255,))
    if name.endswith(("_gtfine_labelids", "_gtcoarse_labelids")):
        return rules._replace(convention="cityscapes")
    if name.endswith(("_gtfine_color", "_gtcoarse_color")):
        return rules._replace(reading="colours")
    return rules

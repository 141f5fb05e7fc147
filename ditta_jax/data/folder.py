"""Videos from folders: frames alone, or `origin/` and `mask/` with one mask per frame."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ditta_jax.data.images import decode_frame, decode_mask
from ditta_jax.data.video import FrameSequence, LabelSequence, Video, check_index
from ditta_jax.errors import UserError
from ditta_jax.labels import IGNORE

FRAME_SUFFIXES = (".jpg", ".jpeg", ".png")
CONVENTIONS = ("plain", "vspw")


def natural_key(name: str) -> tuple:
    """Sorting key that puts frame 2 before frame 10.

    Digits count as numbers; names that differ only in leading zeros are ordered as text.
    """
    parts = re.split(r"([0-9]+)", name)
    return ([(int(p), "") if i % 2 else (-1, p) for i, p in enumerate(parts)], name)


def find_videos(path: str | Path) -> list[tuple[str, Path]]:
    """The videos in a folder: the folder itself, or each of its sub-folders that is a video.

    Returns:
      (name, folder) in natural order.

    Raises:
      UserError: no such folder, or no frames in it.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder of frames; check data.path")
    if _is_video(folder):
        return [(folder.resolve().name, folder)]
    inside = sorted((f for f in folder.iterdir() if f.is_dir()), key=lambda f: natural_key(f.name))
    found = [(f.name, f) for f in inside if not f.name.startswith(".") and _is_video(f)]
    if not found:
        suffixes = ", ".join(FRAME_SUFFIXES)
        raise UserError(
            f"{folder}: no frames here; expected {suffixes} files, origin/ and mask/,"
            " or folders of them"
        )
    return found


def _is_video(folder: Path) -> bool:
    return (folder / "origin").is_dir() or bool(_images(folder))


def _images(folder: Path) -> list[Path]:
    files = [
        file
        for file in folder.iterdir()
        if file.suffix.lower() in FRAME_SUFFIXES and not file.name.startswith(".")
    ]
    return sorted(files, key=lambda file: natural_key(file.stem))


def open_folder(
    folder: Path,
    name: str = "",
    convention: str = "plain",
    ignore: Sequence[int] = (IGNORE,),
    num_classes: int = 0,
    max_frames: int = 0,
    one_size: bool = True,
) -> Video:
    """Opens one folder as a video; only its first frame is decoded here.

    Args:
      folder: holds frames, or `origin/` with frames and `mask/` with a mask for each.
      name: the video's name; empty: the folder's.
      convention: of mask values, see `to_labels`.
      ignore: mask values without meaning ("plain").
      num_classes: class values at or above it are refused; 0: not checked.
      max_frames: 0: all.
      one_size: whether all frames must have the first one's size (`Video.size`).

    Raises:
      UserError: no frames, two frames of one name, a frame without mask or the reverse.
    """
    if convention not in CONVENTIONS:
        known = ", ".join(CONVENTIONS)
        raise UserError(f"data.convention: unknown convention {convention!r}; known: {known}")
    labelled = (folder / "origin").is_dir()
    files = _by_stem(folder / "origin" if labelled else folder)
    masks = _by_stem(folder / "mask") if labelled and (folder / "mask").is_dir() else None
    if masks is not None:
        _check_pairs(folder, files, masks)
    stems = list(files)[: max_frames or None]
    frames = _FolderFrames([files[stem] for stem in stems], one_size)
    labels = None
    if masks is not None:
        shapes = frames.size if one_size else None
        kept = [masks[stem] for stem in stems]
        labels = _FolderLabels(kept, shapes, convention, tuple(ignore), num_classes)
    return Video(name or folder.resolve().name, frames.size, frames, labels)


def _by_stem(folder: Path) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for file in _images(folder):
        if file.stem in files:
            raise UserError(
                f"{file}: the same frame as {files[file.stem].name}; remove one of them"
            )
        files[file.stem] = file
    if not files:
        raise UserError(f"{folder}: no images here; expected {', '.join(FRAME_SUFFIXES)} files")
    return files


def _check_pairs(folder: Path, files: dict[str, Path], masks: dict[str, Path]) -> None:
    for stem, file in files.items():
        if stem not in masks:
            raise UserError(
                f"{file}: this frame has no mask; expected {folder / 'mask' / stem}.png"
            )
    for stem, file in masks.items():
        if stem not in files:
            raise UserError(f"{file}: this mask has no frame; expected it in {folder / 'origin'}")
        if file.suffix.lower() != ".png":
            raise UserError(f"{file}: masks must be PNG files, JPEG changes their values")


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UserError(f"{file}: cannot read it: {error.strerror}") from error


class _FolderFrames(FrameSequence):
    """Frames in one file each.

    Attributes:
      size: (H, W) of the first frame.
    """

    def __init__(self, files: list[Path], one_size: bool):
        self._files, self._one_size = files, one_size
        self.size: tuple[int, int] = decode_frame(_read(files[0]), str(files[0])).shape[:2]

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> np.ndarray:
        file = self._files[check_index(index, len(self))]
        return decode_frame(_read(file), str(file), self.size if self._one_size else None)

    def frame_name(self, index: int) -> str:
        """See `FrameSequence`."""
        return self._files[check_index(index, len(self))].stem

    def file(self, index: int) -> Path:
        """See `FrameSequence`."""
        return self._files[check_index(index, len(self))]

    def encoded(self, index: int) -> bytes:
        """See `FrameSequence`."""
        return _read(self.file(index))


class _FolderLabels(LabelSequence):
    """Masks in one PNG file each."""

    def __init__(
        self,
        files: list[Path],
        size: tuple[int, int] | None,
        convention: str,
        ignore: tuple[int, ...],
        num_classes: int,
    ):
        self._files, self._size = files, size
        self._convention, self._ignore, self._num_classes = convention, ignore, num_classes

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> np.ndarray:
        file = self._files[check_index(index, len(self))]
        raw = decode_mask(_read(file), str(file), self._size)
        return to_labels(raw, str(file), self._convention, self._ignore, self._num_classes)

    def digest(self, start: int = 0) -> str:
        """See `LabelSequence`; of the files' bytes and how they are read."""
        total = hashlib.sha256(f"{self._convention} {self._ignore}".encode())
        for file in self._files[start:]:
            total.update(hashlib.sha256(_read(file)).digest())
        return total.hexdigest()


def to_labels(
    raw: np.ndarray,
    where: str,
    convention: str = "plain",
    ignore: Sequence[int] = (IGNORE,),
    num_classes: int = 0,
) -> np.ndarray:
    """Class indices from a mask's values.

    Args:
      raw: UInt8["H W"] as stored.
      where: the file's name for messages.
      convention: "plain": values are classes, those in `ignore` become 255; "vspw": 0 and 255
        become 255, the others are lowered by one (SPEC "Metrics").
      ignore: see above.
      num_classes: 0: not checked.

    Returns:
      UInt8["H W"], 255 = ignore.

    Raises:
      UserError: a value that is neither a class nor ignored.
    """
    table = np.arange(256, dtype=np.uint8)
    if convention == "vspw":
        table = table - np.uint8(1)  # 0 wraps round to 255
        table[255] = IGNORE
    else:
        table[[value for value in ignore if 0 <= value <= 255]] = IGNORE
    labels = table[raw]
    if num_classes:
        wrong = labels[(labels >= num_classes) & (labels != IGNORE)]
        if wrong.size:
            value = int(np.flatnonzero(table == wrong.min())[0])
            raise UserError(
                f"{where}: value {value} is no class ({num_classes} classes,"
                f" convention {convention!r}); name it in data.ignore or check data.convention"
            )
    return labels

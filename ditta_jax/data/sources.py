"""Opens what `config.data` names: videos to adapt on, stills to train on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ditta_jax.data.folder import find_videos, open_folder
from ditta_jax.data.images import decode_frame, decode_mask
from ditta_jax.data.prepared import open_builder
from ditta_jax.data.video import EncodedFrames, LabelSequence, Video
from ditta_jax.data.video_file import open_video_file
from ditta_jax.errors import UserError


class Videos(Sequence[Video]):
    """Videos that are opened one by one, when asked for.

    Attributes:
      names: of all videos, without opening them.
    """

    def __init__(self, names: Sequence[str], opener: Any):
        """`opener(index)` gives the video of that index."""
        self.names = tuple(names)
        self._opener = opener

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index):
        if isinstance(index, slice):
            raise TypeError("videos are opened one by one; slices are not supported")
        if not 0 <= index < len(self):
            raise IndexError(f"video {index} of {len(self)}")
        return self._opener(index)


def open_videos(data: Any, num_classes: int = 0) -> Videos:
    """The videos of a configuration, lazily.

    Args:
      data: `config.data`.
      num_classes: labels at or above it are refused in folders; 0: not checked.

    Returns:
      a sequence of `Video`; `names` lists them without opening any.

    Raises:
      UserError: nothing there, an unknown kind. Reading a video raises it too.
    """
    if data.kind == "tfds":
        videos = _tfds_videos(data)
    elif data.kind == "folder":
        videos = _folder_videos(data, num_classes)
    elif data.kind == "file":
        path = Path(_path(data)).expanduser()
        videos = Videos(
            [path.stem], lambda _: open_video_file(path, fps=data.fps, max_frames=data.max_frames)
        )
    else:
        raise UserError(f"data.kind: unknown kind {data.kind!r}; known: tfds, folder, file")
    if data.max_videos > 0:
        return Videos(videos.names[: data.max_videos], videos.__getitem__)
    return videos


def data_classes(
    data: Any,
) -> tuple[tuple[str, ...], tuple[tuple[int, int, int], ...]] | None:
    """Names and RGB colours of a TFDS data set's classes; None for folders and files."""
    if data.kind != "tfds":
        return None
    metadata = open_builder(data.builder, data.data_dir).info.metadata
    palette = tuple((int(r), int(g), int(b)) for r, g, b in metadata["palette"])
    return tuple(metadata["classes"]), palette


def _path(data: Any) -> str:
    if not data.path:
        raise UserError(f"data.path: is empty; kind {data.kind!r} needs a path")
    return str(data.path)


def _folder_videos(data: Any, num_classes: int) -> Videos:
    found = find_videos(_path(data))

    def opener(index: int) -> Video:
        return open_folder(
            found[index][1],
            name=found[index][0],
            convention=data.convention,
            ignore=tuple(data.ignore),
            num_classes=num_classes,
            max_frames=data.max_frames,
        )

    return Videos([name for name, _ in found], opener)


class _Store(Sequence[bytes]):
    """One encoded image per record of a TFDS data source, from `start` on."""

    def __init__(self, source: Any, key: str, start: int, length: int):
        self._source, self._key, self._start, self._length = source, key, start, length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index):
        if not 0 <= index < self._length:
            raise IndexError(f"record {index} of {self._length}")
        return self._source[self._start + index][self._key]


class _EncodedLabels(LabelSequence):
    def __init__(self, store: _Store, size: tuple[int, int], where: str):
        self._store, self._size, self._where = store, size, where

    def __len__(self) -> int:
        return len(self._store)

    def __getitem__(self, index: int) -> np.ndarray:
        return decode_mask(self._store[index], f"{self._where}: label {index}", self._size)

    def digest(self, start: int = 0) -> str:
        """See `LabelSequence`; of the encoded maps."""
        total = hashlib.sha256()
        for index in range(start, len(self)):
            total.update(hashlib.sha256(self._store[index]).digest())
        return total.hexdigest()


def _data_source(builder: Any, split: str) -> Any:
    """Random access to a split's records, images left encoded."""
    import tensorflow_datasets as tfds

    if split not in builder.info.splits:
        known = ", ".join(builder.info.splits)
        raise UserError(f"data.split: {builder.name} has no split {split!r}; known: {known}")
    raw = tfds.decode.SkipDecoding()
    return builder.as_data_source(split, decoders={"image": raw, "label": raw})


def _tfds_videos(data: Any) -> Videos:
    builder = open_builder(data.builder, data.data_dir)
    source = _data_source(builder, data.split)
    metadata = builder.info.metadata
    length = int(metadata["frames"][data.split])
    if length < 2:
        raise UserError(
            f"data.split: {data.split!r} holds single pictures; choose a split of videos"
        )
    size = (int(metadata["size"][0]), int(metadata["size"][1]))
    kept = min(length, data.max_frames) if data.max_frames > 0 else length
    names = [f"{data.split}_{index:03d}" for index in range(len(source) // length)]

    def opener(index: int) -> Video:
        start = index * length
        where = f"{builder.name} {names[index]}"
        frame_names = [f"{frame:05d}" for frame in range(kept)]
        frames = EncodedFrames(_Store(source, "image", start, kept), frame_names, size, where)
        labels = _EncodedLabels(_Store(source, "label", start, kept), size, where)
        return Video(names[index], size, frames, labels)

    return Videos(names, opener)


class Stills(Sequence[tuple[np.ndarray, np.ndarray]]):
    """Labelled pictures: (UInt8["H W 3"] RGB, UInt8["H W"] class or 255)."""

    def __init__(self, length: int, reader: Any):
        """`reader(index)` gives the pair of that index."""
        self._length, self._reader = length, reader

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index):
        if not 0 <= index < self._length:
            raise IndexError(f"picture {index} of {self._length}")
        return self._reader(index)


def stills(
    data: Any, split: str = "stills", paths: Sequence[str] = (), num_classes: int = 0
) -> Stills:
    """Labelled pictures to train on.

    Args:
      data: `config.data`; its kind says where from.
      split: of the TFDS data set, kind "tfds".
      paths: labelled folders, kind "folder"; `data.path` if empty.
      num_classes: labels at or above it are refused; 0: not checked.

    Returns:
      an indexable source, safe to read from several threads.

    Raises:
      UserError: no labels, no pictures, an unknown split or kind.
    """
    if data.kind == "tfds":
        return _tfds_stills(open_builder(data.builder, data.data_dir), split)
    if data.kind != "folder":
        raise UserError(
            f"data.kind: pictures to train on come from tfds or folder, not {data.kind!r}"
        )
    pairs = []
    for path in [path for path in paths if path] or [_path(data)]:
        for name, folder in find_videos(path):
            video = open_folder(
                folder, name, data.convention, tuple(data.ignore), num_classes, one_size=False
            )
            if video.labels is None:
                raise UserError(f"{folder}: no labels here; expected origin/ and mask/ folders")
            pairs += [(video, index) for index in range(len(video.frames))]
    return Stills(len(pairs), lambda i: _pair(*pairs[i]))


def _pair(video: Video, index: int) -> tuple[np.ndarray, np.ndarray]:
    assert video.labels is not None  # only labelled folders get here
    return video.frames[index], video.labels[index]


def _tfds_stills(builder: Any, split: str) -> Stills:
    source = _data_source(builder, split)
    where = f"{builder.name} {split}"

    def reader(index: int) -> tuple[np.ndarray, np.ndarray]:
        record = source[index]
        frame = decode_frame(record["image"], f"{where}: picture {index}")
        label = decode_mask(record["label"], f"{where}: label {index}", frame.shape[:2])
        return frame, label

    return Stills(len(source), reader)

"""Opens what `config.data` names: videos to adapt on, stills to train on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ditta_jax.data import cityscapes, vspw
from ditta_jax.data.folder import FolderRules, open_clip, open_folder
from ditta_jax.data.images import decode_frame
from ditta_jax.data.layouts import VIDEO_SUFFIXES, Place, find_videos
from ditta_jax.data.masks import MaskRules, check_rules, decode_mask, read_labels
from ditta_jax.data.pairs import names_with
from ditta_jax.data.prepared import open_builder, open_published
from ditta_jax.data.published import PUBLISHED
from ditta_jax.data.video import EncodedFrames, LabelSequence, Video, check_index, said_of_gaps
from ditta_jax.data.video_file import open_video_file
from ditta_jax.data.video_list import read_list, select
from ditta_jax.data.where import check_kind, existing_file, existing_folder
from ditta_jax.errors import UserError

DATA_SETS = ("vspw", "cityscapes")  # kinds whose `data.path` is a data set's root

Palette = Sequence[tuple[int, int, int]]


class Videos(Sequence[Video]):
    """Videos that are opened one by one, when asked for.

    Attributes:
        names: of all videos, without opening them.
    """

    def __init__(self, names: Sequence[str], opener: Any):
        """`opener(index)` gives the video of that index."""
        self.names = tuple(names)
        self._places = {name: place for place, name in enumerate(self.names)}
        self._opener = opener

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index):
        if isinstance(index, slice):
            raise TypeError("videos are opened one by one; slices are not supported")
        if not 0 <= index < len(self):
            raise IndexError(f"video {index} of {len(self)}")
        return self._opener(index)

    def named(self, name: str) -> Video:
        """The video of that name, opened."""
        return self[self._places[name]]


def open_videos(data: Any, num_classes: int = 0, palette: Palette = ()) -> Videos:
    """The videos of a configuration, lazily.

    Args:
        data: `config.data`.
        num_classes: labels at or above it are refused in folders; 0: not checked.
        palette: RGB per class, for masks in colour.

    Returns:
        a sequence of `Video`; `names` lists them without opening any.

    Raises:
        UserError: nothing there, an unknown kind. Reading a video raises it too.
    """
    check_kind(data.kind, data.path)
    if data.kind == "tfds":
        published = data.builder in PUBLISHED
        videos = _published_videos(data, num_classes) if published else _tfds_videos(data)
    elif data.kind == "file":
        path = existing_file(data.path)
        videos = _videos_at([Place(path.stem, path)], data, FolderRules())
    elif data.kind in DATA_SETS:
        videos = _videos_of_data_set(data, num_classes, palette)
    else:
        rules = _folder_rules(data, num_classes, palette)
        videos = _videos_at(find_videos(existing_folder(data.path, data.kind)), data, rules)
    wanted = list(videos.names)
    if data.list:
        wanted = select(read_list(data.list, data.path), wanted, data.list)
    if data.max_videos > 0:
        wanted = wanted[: data.max_videos]
    numbers = {name: number for number, name in enumerate(videos.names)}
    return Videos(wanted, lambda index: videos[numbers[wanted[index]]])


def _videos_of_data_set(data: Any, num_classes: int, palette: Palette) -> Videos:
    """Videos of a data set that lies as it is published."""
    root = existing_folder(data.path, data.kind)
    rules = _folder_rules(data, num_classes, palette)
    if data.kind == "vspw":
        root = vspw.root_of(root)
        rules = rules._replace(masks=rules.masks._replace(convention="vspw"))
        names = _names_of_vspw(root, data)
        return Videos(names, lambda i: open_clip(vspw.clip_of(root, names[i]), rules))
    rules = rules._replace(masks=rules.masks._replace(convention="cityscapes"))
    clips = cityscapes.clips_of(root, data.split)
    return Videos([clip.name for clip in clips], lambda i: open_clip(clips[i], rules))


def _names_of_vspw(root: Path, data: Any) -> list[str]:
    """The videos of a split; with `data.list`, all that are there, to choose from."""
    if data.list:
        return sorted(folder.name for folder in (root / "data").iterdir() if folder.is_dir())
    return vspw.video_names(root, data.split)


def _folder_rules(data: Any, num_classes: int, palette: Palette = ()) -> FolderRules:
    """What `config.data` says on the reading of folders."""
    if data.damaged not in ("refuse", "keep"):
        raise UserError(f"data.damaged must be 'refuse' or 'keep', not {data.damaged!r}")
    masks = MaskRules(
        data.convention,
        tuple(data.ignore),
        num_classes,
        tuple((r, g, b) for r, g, b in palette),
        tuple((r, g, b) for r, g, b in data.ignore_colours),
        data.mask_reading,
    )
    names = names_with(tuple(data.frame_names), tuple(data.mask_names))
    return FolderRules(check_rules(masks), names, data.damaged, data.max_frames)


def _videos_at(places: Sequence[Place], data: Any, rules: FolderRules) -> Videos:
    """Videos in folders and files."""

    def opener(index: int) -> Video:
        place = places[index]
        if place.frames.is_dir():
            return open_folder(place, rules)
        video = open_video_file(place.frames, data.fps, data.max_frames, damaged=data.damaged)
        return video._replace(name=place.name)

    return Videos([place.name for place in places], opener)


def data_classes(
    data: Any,
) -> tuple[tuple[str, ...], tuple[tuple[int, int, int], ...]] | None:
    """Names and RGB colours of a TFDS data set's classes; None for folders and files."""
    if data.kind != "tfds":
        return None
    if data.builder in PUBLISHED:
        return None  # the student's own names count; a table maps them (`data.class_map`)
    metadata = open_builder(data.builder, data.data_dir).info.metadata
    palette = tuple((int(r), int(g), int(b)) for r, g, b in metadata["palette"])
    return tuple(metadata["classes"]), palette


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


class _PublishedLabels(LabelSequence):
    """Mask files of records; None where a record has none."""

    def __init__(self, store: _Records, labelled: set[int], rules: MaskRules, where: str):
        self._store, self._labelled, self._rules = store, labelled, rules
        self._where = where

    def __len__(self) -> int:
        return len(self._store)

    def __getitem__(self, index: int) -> np.ndarray | None:
        record = self._store.record(index)
        if not record["label"]:
            return None
        rules = self._rules._replace(convention=_text(record["convention"]))
        return read_labels(record["label"], f"{self._where}: label {index}", None, rules)

    def labelled(self, index: int) -> bool:
        """See `LabelSequence`."""
        return index in self._labelled


class _Records(Sequence[bytes]):
    """The encoded images of some records, which can be had whole too."""

    def __init__(self, source: Any, start: int, length: int):
        self._source, self._start, self._length = source, start, length

    def __len__(self) -> int:
        return self._length

    def record(self, index: int) -> dict[str, Any]:
        """All of a record."""
        return self._source[self._start + check_index(index, self._length)]

    def __getitem__(self, index):
        return self.record(index)["image"]


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _published_videos(data: Any, num_classes: int) -> Videos:
    """Videos of a data set that people download, out of its TFDS build."""
    import tensorflow_datasets as tfds

    builder = open_published(data.builder, data.split, data.data_dir, data.manual_dir)
    raw = {"image": tfds.decode.SkipDecoding()}
    source = builder.as_data_source(data.split, decoders=raw)
    table = builder.info.metadata["videos"]
    rules = PUBLISHED[data.builder].rules
    if num_classes:
        rules = rules._replace(num_classes=num_classes)

    def opener(index: int) -> Video:
        name, first, length, height, width, labelled, warnings = table[index]
        length = min(length, data.max_frames) if data.max_frames > 0 else length
        store, where = _Records(source, first, length), f"{builder.name} {name}"
        names = [_text(store.record(i)["name"]) for i in range(length)]
        frames = EncodedFrames(store, names, (height, width), where)
        labels = _PublishedLabels(store, set(labelled), rules, where) if labelled else None
        without = sum(i not in labelled for i in range(length)) if labelled else 0
        said = (*warnings, *said_of_gaps(name, without, length))
        return Video(name, (height, width), frames, labels, said)

    return Videos([row[0] for row in table], opener)


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
    data: Any,
    split: str = "stills",
    paths: Sequence[str] = (),
    num_classes: int = 0,
    palette: Palette = (),
) -> Stills:
    """Labelled pictures to train on.

    Args:
        data: `config.data`; its kind says where from.
        split: of the TFDS data set, kind "tfds".
        paths: labelled folders, kind "folder"; `data.path` if empty.
        num_classes: labels at or above it are refused; 0: not checked.
        palette: RGB per class, for masks in colour.

    Returns:
        an indexable source, safe to read from several threads.

    Raises:
        UserError: no labels, no pictures, an unknown split or kind.
    """
    if data.kind == "tfds" and data.builder in PUBLISHED:
        return _labelled(list(_published_videos(_of_split(data, split), num_classes)))
    if data.kind == "tfds":
        return _tfds_stills(open_builder(data.builder, data.data_dir), split)
    if data.kind in DATA_SETS:
        return _labelled(list(_videos_of_data_set(_of_split(data, split), num_classes, palette)))
    if data.kind != "folder":
        raise UserError(
            "data.kind: pictures to train on come from tfds, folder, vspw or cityscapes, not"
            f" {data.kind!r}"
        )
    rules = _folder_rules(data, num_classes, palette)._replace(one_size=False, max_frames=0)
    videos = []
    for path in [path for path in paths if path] or [data.path]:
        for place in find_videos(existing_folder(path, data.kind)):
            if place.frames.suffix.lower() in VIDEO_SUFFIXES and not place.frames.is_dir():
                raise UserError(f"{place.frames}: a video file has no labels to train on")
            video = open_folder(place, rules)
            if video.labels is None:
                raise UserError(
                    f"{place.frames}: no labels here; expected origin/ and mask/ folders"
                )
            videos.append(video)
    return _labelled(videos)


def _of_split(data: Any, split: str) -> Any:
    changed = data.copy_and_resolve_references()
    changed.split = split
    return changed


def _labelled(videos: Sequence[Video]) -> Stills:
    """The labelled frames of videos."""
    pairs = [
        (video, index)
        for video in videos
        if video.labels is not None
        for index in range(len(video.frames))
        if video.labels.labelled(index)
    ]
    return Stills(len(pairs), lambda i: _pair(*pairs[i]))


def _pair(video: Video, index: int) -> tuple[np.ndarray, np.ndarray]:
    label = video.labels[index] if video.labels is not None else None
    assert label is not None  # only labelled frames get here
    return video.frames[index], label


def _tfds_stills(builder: Any, split: str) -> Stills:
    source = _data_source(builder, split)
    where = f"{builder.name} {split}"

    def reader(index: int) -> tuple[np.ndarray, np.ndarray]:
        record = source[index]
        frame = decode_frame(record["image"], f"{where}: picture {index}")
        label = decode_mask(record["label"], f"{where}: label {index}", frame.shape[:2])
        return frame, label

    return Stills(len(source), reader)

"""Videos out of TFDS record files: of data sets that this package makes, and of published ones."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from ditta_jax.data.masks import MaskRules, decode_mask, read_labels
from ditta_jax.data.prepared import open_builder, open_published
from ditta_jax.data.published import PUBLISHED
from ditta_jax.data.video import (
    EncodedFrames,
    LabelSequence,
    Video,
    Videos,
    check_index,
    said_of_gaps,
)
from ditta_jax.errors import UserError


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
        return self._source[self._start + check_index(index, self._length, "record")][self._key]


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


def data_source(builder: Any, split: str) -> Any:
    """Random access to a split's records, images left encoded."""
    import tensorflow_datasets as tfds

    if split not in builder.info.splits:
        known = ", ".join(builder.info.splits)
        raise UserError(f"data.split: {builder.name} has no split {split!r}; known: {known}")
    raw = tfds.decode.SkipDecoding()
    return builder.as_data_source(split, decoders={"image": raw, "label": raw})


def built_videos(data: Any) -> Videos:
    """Videos of a split of a data set that this package makes.

    Args:
        data: `config.data`.

    Raises:
        UserError: unknown data set or split, or one of single pictures.
    """
    builder = open_builder(data.builder, data.data_dir)
    source = data_source(builder, data.split)
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


def published_videos(data: Any, num_classes: int) -> Videos:
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

"""Labelled pictures to train on, from whatever `config.data` names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ditta_jax.data.folder import open_folder
from ditta_jax.data.images import decode_frame
from ditta_jax.data.layouts import VIDEO_SUFFIXES, find_videos
from ditta_jax.data.masks import decode_mask
from ditta_jax.data.prepared import open_builder
from ditta_jax.data.published import PUBLISHED
from ditta_jax.data.sources import DATA_SETS, Palette, folder_rules, videos_of_data_set
from ditta_jax.data.tfds_videos import data_source, published_videos
from ditta_jax.data.video import Video, check_index
from ditta_jax.data.where import existing_folder
from ditta_jax.errors import UserError


class Stills(Sequence[tuple[np.ndarray, np.ndarray]]):
    """Labelled pictures: (UInt8["H W 3"] RGB, UInt8["H W"] class or 255)."""

    def __init__(self, length: int, reader: Callable[[int], tuple[np.ndarray, np.ndarray]]):
        """`reader(index)` gives the pair of that index."""
        self._length, self._reader = length, reader

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index):
        return self._reader(check_index(index, self._length, "picture"))


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
        return _labelled(list(published_videos(_of_split(data, split), num_classes)))
    if data.kind == "tfds":
        return _built_stills(open_builder(data.builder, data.data_dir), split)
    if data.kind in DATA_SETS:
        return _labelled(list(videos_of_data_set(_of_split(data, split), num_classes, palette)))
    if data.kind != "folder":
        raise UserError(
            "data.kind: pictures to train on come from tfds, folder, vspw or cityscapes, not"
            f" {data.kind!r}"
        )
    rules = folder_rules(data, num_classes, palette)._replace(one_size=False, max_frames=0)
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


def _built_stills(builder: Any, split: str) -> Stills:
    source = data_source(builder, split)
    where = f"{builder.name} {split}"

    def reader(index: int) -> tuple[np.ndarray, np.ndarray]:
        record = source[index]
        frame = decode_frame(record["image"], f"{where}: picture {index}")
        label = decode_mask(record["label"], f"{where}: label {index}", frame.shape[:2])
        return frame, label

    return Stills(len(source), reader)

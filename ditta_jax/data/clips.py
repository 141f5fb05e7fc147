"""Labelled clips of two frames, to train the temporal fusion on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ditta_jax.data.sources import Palette, open_videos
from ditta_jax.data.video import Video
from ditta_jax.errors import UserError

Clip = tuple[np.ndarray, np.ndarray, np.ndarray]


class Clips(Sequence[Clip]):
    """Clips: the frame before and the frame, UInt8["H W 3"] RGB; its labels, UInt8["H W"]."""

    def __init__(self, videos: Sequence[Video]):
        """Every labelled frame of the videos but the first of each."""
        self._places = [
            (video, index)
            for video in videos
            if video.labels is not None
            for index in range(1, len(video.frames))
            if video.labels.labelled(index)
        ]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index):
        video, t = self._places[index]
        label = None if video.labels is None else video.labels[t]
        assert label is not None  # only labelled frames get here
        return video.frames[t - 1], video.frames[t], label


def clips(
    data: Any,
    split: str,
    paths: Sequence[str] = (),
    num_classes: int = 0,
    palette: Palette = (),
) -> Clips:
    """Clips of the labelled videos of a data set.

    Args:
        data: `config.data`.
        split: of the data set; of videos, not of single pictures.
        paths: labelled folders, kind "folder"; `data.path` if empty.
        num_classes: labels at or above it are refused; 0: not checked.
        palette: RGB per class, for masks in colour.

    Raises:
        UserError: no labels, no videos, an unknown split or kind.
    """
    videos: list[Video] = []
    for path in [path for path in paths if path] or [data.path]:
        own = data.copy_and_resolve_references()
        own.split, own.path = split, path
        videos += open_videos(own, num_classes, palette)
    found = Clips(videos)
    if not len(found):
        raise UserError("data: no clips to train on: no labelled frame that follows another")
    return found

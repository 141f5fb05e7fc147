"""Training batches: a growing pool of clips, reused mirrored, cropped, recoloured and reversed."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from teacher_bridge.nano.training.clips import (
    FRAME_SIZE,
    HELD_OUT_SEED,
    LEAST_AREA,
    NO_OBJECT,
    Clip,
    click_in,
    make_clip,
)
from teacher_bridge.nano.training.drive_clips import make_drive_clip

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # as `sam2` normalises frames
DRIVE_EVERY = 2  # of so many clips one shows the demo's streets


class Batch(NamedTuple):
    """N clips of T frames with B objects in all.

    frames: float32 [T, N, 3, S, S], normalised; masks: bool [T, B, S, S];
    clip_of: int64 [B], the object's clip; clicks: float32 [B, 2] as (x, y) pixels in frame 0.
    """

    frames: Tensor
    masks: Tensor
    clip_of: Tensor
    clicks: Tensor


class ClipPool:
    """Clips of one worker; worker `rank` of `workers` takes every `workers`-th seed."""

    def __init__(self, rank: int, workers: int, length: int, capacity: int) -> None:
        self.clips: list[Clip] = []
        self.made = 0
        self._first, self._stride = rank, workers
        self._length, self._capacity = length, capacity

    def grow(self) -> None:
        """Add the next clip; once full, it replaces the oldest."""
        seed = self._first + self.made * self._stride
        if seed >= HELD_OUT_SEED:
            raise SystemExit("the training has used up its seeds")
        make = make_drive_clip if self.made % DRIVE_EVERY == 0 else make_clip
        clip = make(seed, self._length)
        if len(self.clips) < self._capacity:
            self.clips.append(clip)
        else:
            self.clips[self.made % self._capacity] = clip
        self.made += 1

    def skip(self, count: int) -> None:
        """Passes over clips that an earlier session of the same training has used."""
        self.made += count

    def batch(self, rng: np.random.Generator, clips: int, length: int, objects: int) -> Batch:
        """Draw `clips` clips of `length` frames with up to `objects` objects of each."""
        frames: list[Tensor] = []
        masks: list[Tensor] = []
        clip_of: list[int] = []
        clicks: list[tuple[int, int]] = []
        while len(frames) < clips:
            clip = vary(self.clips[rng.integers(len(self.clips))], length, rng)
            chosen = choose_objects(clip, objects, rng)
            if not len(chosen):
                continue
            for label in chosen:
                mask = clip.labels == label
                masks.append(torch.from_numpy(mask))
                clicks.append(click_in(mask[0], rng, "deep" if rng.random() < 0.5 else "anywhere"))
                clip_of.append(len(frames))
            frames.append(normalise(clip.frames))
        return Batch(
            frames=torch.stack(frames, 1),
            masks=torch.stack(masks, 1),
            clip_of=torch.tensor(clip_of),
            clicks=torch.tensor(clicks, dtype=torch.float32),
        )


def normalise(frames: NDArray[np.uint8]) -> Tensor:
    """uint8 [T, H, W, 3] -> float32 [T, 3, H, W], as the predictor reads frames."""
    pixels = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(v)[:, None, None] for v in (MEAN, STD))
    return ((pixels - mean) / std).contiguous()


def vary(clip: Clip, length: int, rng: np.random.Generator) -> Clip:
    """Return `length` frames of a clip: reversed, mirrored, recoloured or cropped at random."""
    total = len(clip.frames)
    stride = 2 if length > 1 and (length - 1) * 2 < total and rng.random() < 0.4 else 1
    start = int(rng.integers(total - (length - 1) * stride))
    chosen = slice(start, start + (length - 1) * stride + 1, stride)
    frames, labels = clip.frames[chosen], clip.labels[chosen]
    if rng.random() < 0.5:
        frames, labels = frames[::-1], labels[::-1]
    if rng.random() < 0.5:
        frames, labels = frames[:, :, ::-1], labels[:, :, ::-1]
    if rng.random() < 0.4:
        frames = frames[..., rng.permutation(3)]
    if rng.random() < 0.35:
        frames, labels = _crop(frames, labels, rng)
    return Clip(frames.copy(), labels.copy(), clip.region_count)


def _crop(
    frames: NDArray[np.uint8], labels: NDArray[np.uint8], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Enlarge a random rectangle, the same in every frame, to the whole frame."""
    height, width = (int(FRAME_SIZE * rng.uniform(0.6, 1.0)) for _ in range(2))
    top = int(rng.integers(FRAME_SIZE - height + 1))
    left = int(rng.integers(FRAME_SIZE - width + 1))
    window = (slice(top, top + height), slice(left, left + width))
    size = (FRAME_SIZE, FRAME_SIZE)
    return (
        np.stack([cv2.resize(f[window], size, interpolation=cv2.INTER_LINEAR) for f in frames]),
        np.stack([cv2.resize(k[window], size, interpolation=cv2.INTER_NEAREST) for k in labels]),
    )


def choose_objects(clip: Clip, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw labels visible in frame 0, figures and what vanishes later more often."""
    labels, areas = np.unique(clip.labels[0], return_counts=True)
    labels = labels[(areas >= LEAST_AREA) & (labels != NO_OBJECT)]
    if not len(labels):
        return labels.astype(np.int64)
    weights = np.where(labels >= clip.region_count, 2.0, 1.0)
    if len(clip.labels) > 1:
        weights[~np.isin(labels, clip.labels[-1])] *= 2
    count = min(count, len(labels))
    chosen = rng.choice(labels, count, replace=False, p=weights / weights.sum())
    return chosen.astype(np.int64)

"""Warm-ups padded to a few sizes, so that few programs are compiled; padding changes nothing."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, PyTree

from ditta_jax.algorithm.adaptation import TaughtFrames
from ditta_jax.algorithm.targets import FrameTarget
from ditta_jax.labels import IGNORE

FRAME_BUCKETS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
OBJECT_BUCKETS = (16, 32, 64, 128, 255)


def padded_sizes(
    videos: Sequence[Sequence[FrameTarget | None]], least_frames: int
) -> tuple[int, int]:
    """Numbers of frames (at least `least_frames`) and of objects that all these videos fit in."""
    targets = [target for own in videos for target in own if target is not None]
    frames = max(len(own) for own in videos)
    objects = max(int(target.object_ids.max()) for target in targets)
    length = max(bucket(frames, FRAME_BUCKETS), least_frames)
    return length, bucket(objects, OBJECT_BUCKETS)


def pad_warm_up(
    features: list[PyTree],
    targets: Sequence[FrameTarget | None],
    size: tuple[int, int],
    length: int,
    objects: int,
) -> TaughtFrames:
    """Stack a video's features and targets [H, W] = `size`, padded with frames that have none."""
    return TaughtFrames(
        pad_features(features, length), *pad_targets(targets, size, length, objects)
    )


def pad_features(features: list[PyTree], length: int) -> PyTree:
    """Stack a video's features; the last frame's are repeated."""
    padded = [*features, *features[-1:] * (length - len(features))]
    return jax.tree.map(lambda *x: jnp.stack(x), *padded)


def pad_targets(
    targets: Sequence[FrameTarget | None], size: tuple[int, int], length: int, objects: int
) -> tuple[Int[Array, "T H W"], Int[Array, "T H W"], Bool[Array, " T"]]:
    """Labels, object ids and which frames have any, as in `TaughtFrames`."""
    T = len(targets)
    shape = (length, *size)
    labels = np.full(shape, IGNORE, np.uint8)
    ids = np.zeros(shape, np.uint8 if objects <= 255 else np.int32)
    for t, made in enumerate(targets):
        if made is not None:
            labels[t], ids[t] = made.label, made.object_ids
    has_target = np.array([t < T and targets[t] is not None for t in range(length)])
    return jnp.asarray(labels), jnp.asarray(ids), jnp.asarray(has_target)


def bucket(n: int, sizes: Sequence[int]) -> int:
    """The smallest of `sizes` that holds n; beyond the last, the next multiple of it."""
    for size in sizes:
        if n <= size:
            return size
    return -(-n // sizes[-1]) * sizes[-1]

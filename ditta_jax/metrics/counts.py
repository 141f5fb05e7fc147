"""The counts of `scores`, made where the label maps are: on the device, by a scan over frames.

Whole numbers, so they are those that `VideoScores.update` counts on the host. On a CPU numpy does
that sooner; elsewhere a host that serves several devices could not keep up. What comes back is a
matrix and two numbers a window, whatever the size of the frames.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, UInt8

from ditta_jax.labels import IGNORE
from ditta_jax.metrics.scores import FrameCounts, check_classes

PIXELS = 2**15  # per product: two one-hot maps of 124 classes are then 16 MiB


class Counting(NamedTuple):
    """What is counted; a program is compiled for it.

    Attributes:
        num_classes: rows and columns of the confusion.
        windows: lengths n of mVC_n.
        table: the ground truth's class of each predicted one; empty: they are the same.
    """

    num_classes: int
    windows: tuple[int, ...]
    table: tuple[int, ...] = ()


class Truth(NamedTuple):
    """Ground truth of frames.

    Attributes:
        label: class per pixel, 255 = ignore.
        known: whether the frame has labels at all; without, it counts for nothing.
    """

    label: UInt8[Array, "*T H W"]
    known: Bool[Array, "*T"]


class Runs(NamedTuple):
    """What the counts of one frame leave to the next.

    Attributes:
        truth: ground truth of the frame before.
        predicted: its prediction.
        truth_length: for how many frames up to it each pixel had its value; 0 before the first.
        predicted_length: likewise.
    """

    truth: UInt8[Array, "H W"]
    predicted: UInt8[Array, "H W"]
    truth_length: Int[Array, "H W"]
    predicted_length: Int[Array, "H W"]


def no_runs(size: tuple[int, ...]) -> Runs:
    """Before the first frame of a video of (H, W) = `size`, or (K, H, W) for `count_settings`."""
    values, lengths = np.zeros(size, np.uint8), np.zeros(size, np.int32)
    return Runs(*map(jnp.asarray, (values, values, lengths, lengths)))


def truth_of(
    labels: Sequence[UInt8[np.ndarray, "H W"] | None],
    count: int,
    size: tuple[int, int],
    num_classes: int,
) -> Truth:
    """The ground truth of frames as arrays, filled up to so many with frames without labels.

    Raises:
        ValueError: a class is not below `num_classes`.
    """
    label = np.full((count, *size), IGNORE, np.uint8)
    known = np.zeros(count, bool)
    for t, own in enumerate(labels):
        if own is not None:
            check_classes("label", own[own != IGNORE], num_classes)
            label[t], known[t] = own, True
    return Truth(label, known)  # type: ignore[arg-type]  # on the host as yet


@functools.partial(jax.jit, static_argnames="counting", donate_argnames="runs")
def count_frames(
    runs: Runs, labels: UInt8[Array, "T H W"], truth: Truth, counting: Counting
) -> tuple[Runs, FrameCounts]:
    """Count consecutive frames of a video.

    Args:
        runs: after the frame before; donated.
        labels: predicted classes.
        truth: of these frames.
        counting: what is counted.

    Returns:
        the runs after the last frame, and the counts of each, Int32 with a leading T; 0 where a
        frame has no labels.
    """

    @jax.named_scope("counts")
    def step(runs: Runs, frame: tuple) -> tuple[Runs, FrameCounts]:
        label, (own, known) = frame
        if counting.table:
            label = jnp.asarray(counting.table, jnp.uint8)[label]
        longest = max(counting.windows, default=1)
        after = Runs(
            own,
            label,
            _grown(runs.truth_length, own == runs.truth, longest),
            _grown(runs.predicted_length, label == runs.predicted, longest),
        )
        still = [after.truth_length >= n for n in counting.windows]
        steady = [
            own & (after.predicted_length >= n)
            for own, n in zip(still, counting.windows, strict=True)
        ]
        pairs = confusion(label, own, counting.num_classes)
        counts = FrameCounts(pairs, _sums(still), _sums(steady))  # type: ignore[arg-type]
        after = jax.tree.map(lambda new, old: jnp.where(known, new, old), after, runs)
        return after, jax.tree.map(lambda x: jnp.where(known, x, 0), counts)

    return jax.lax.scan(step, runs, (labels, truth))


@functools.partial(jax.jit, static_argnames="counting", donate_argnames="runs")
def count_settings(
    runs: Runs, labels: UInt8[Array, "T K H W"], truth: Truth, counting: Counting
) -> tuple[Runs, FrameCounts]:
    """`count_frames` of the labels under K settings, one after another; runs have a leading K.

    Returns:
        the runs, and the counts with a leading T and K.
    """

    def one(setting: tuple) -> tuple[Runs, FrameCounts]:
        runs, labels = setting
        return count_frames(runs, labels, truth, counting)

    runs, counts = jax.lax.map(one, (runs, labels.swapaxes(0, 1)))
    return runs, jax.tree.map(lambda x: x.swapaxes(0, 1), counts)


def confusion(
    prediction: UInt8[Array, "H W"], label: UInt8[Array, "H W"], num_classes: int
) -> Int[Array, "C C"]:
    """Pixels by ground truth (row) and prediction (column): products of one-hot maps, no scatter.

    Ones and zeros are exact in bfloat16, and so are sums of them in float32 below 2²⁴.
    """
    classes = jnp.arange(num_classes, dtype=jnp.uint8)
    count = prediction.size
    blocks = -(-count // PIXELS)
    each = -(-count // blocks)
    cut = [
        jnp.pad(x.reshape(-1), (0, blocks * each - count), constant_values=IGNORE)
        for x in (label, prediction)
    ]

    def add(total, block):
        one_hot = [x[:, None] == classes[None] for x in block]
        one_hot[0] &= block[0][:, None] != IGNORE
        truth, predicted = (x.astype(jnp.bfloat16) for x in one_hot)
        pairs = jnp.einsum(
            "pt,pq->tq",
            truth,
            predicted,
            preferred_element_type=jnp.float32,
            precision=jax.lax.Precision.DEFAULT,
        )
        return total + pairs.astype(jnp.int32), None

    start = jnp.zeros((num_classes, num_classes), jnp.int32)
    return jax.lax.scan(add, start, [x.reshape(blocks, each) for x in cut])[0]


def _grown(length: Int[Array, "H W"], same: Bool[Array, "H W"], longest: int):
    """The lengths of runs one frame on, up to a limit."""
    return jnp.minimum(jnp.where(same, length, 0) + 1, longest)


def _sums(masks: list[Bool[Array, "H W"]]) -> Int[Array, " n"]:
    sums = [mask.sum(dtype=jnp.int32) for mask in masks]
    return jnp.stack(sums) if sums else jnp.zeros(0, jnp.int32)

"""Functions of all channels of a pixel, for every pixel at source resolution, block by block.

On a TPU blocks are columns (`column_blocks`), elsewhere rows (`full_resolution`). Functions take
blocks [a, c, b]: channels lie between the axes of the pixels, whichever these are.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ditta_jax.algorithm.column_blocks import map_columns, sum_over_columns
from ditta_jax.algorithm.full_resolution import map_rows, resize_columns, row_blocks, sum_over_rows
from ditta_jax.students.platform import platform


class Resizing(NamedTuple):
    """How a map becomes one at source resolution.

    Attributes:
        rows: sizes that its rows are resized through, (h, …, H).
        columns: the same of its columns, (w, …, W).
    """

    rows: tuple[int, ...]
    columns: tuple[int, ...]


def resizing(z: Float[Array, "h w c"], *sizes: tuple[int, int]) -> Resizing:
    """Of a map through `sizes`, (height, width) each, the last one (H, W)."""
    rows, columns = zip(z.shape[:2], *sizes, strict=True)
    return Resizing(rows, columns)


def map_pixels(
    f: Callable, maps: Sequence[Float[Array, "h w _c"]], through: Resizing, *pixels: Array
):
    """Apply `f` to blocks of the upsampled maps and join the results.

    Args:
        f: takes a block [a, c, b] of each map and the same pixels of `pixels`; returns [a, b].
        maps: to upsample.
        through: how.
        pixels: arrays [H, W] that go along.

    Returns:
        arrays [H, W].
    """
    if platform() == "tpu":
        return map_columns(f, maps, *through, *pixels)
    channels = [z.shape[2] for z in maps]
    together = maps[0] if len(maps) == 1 else jnp.concatenate(maps, axis=-1)
    columns = resize_columns(together, *through.columns)
    blocks = row_blocks(through.rows, through.columns[-1], sum(channels))

    def apart(x, *own):
        return f(*jnp.split(x, np.cumsum(channels)[:-1], axis=1), *own)

    return map_rows(apart, columns, blocks, *pixels)


def sum_over_pixels(
    f: Callable,
    z: Float[Array, "h w c"],
    through: Resizing,
    weights: Float[Array, "H W"],
    *pixels: Array,
) -> Float[Array, ""]:
    """Sum of `f` over blocks of an upsampled map, with its gradient computed in the same sweep.

    Args:
        f: takes a block [a, c, b] and the same pixels of `weights` and `pixels`; returns a scalar,
            0 where weight and pixels are 0. Must not close over traced values.
        z: to upsample; differentiated.
        through: how.
        weights: differentiated.
        pixels: further arrays [H, W]; not differentiated.
    """
    if platform() == "tpu":
        return sum_over_columns(f, z, *through, weights, *pixels)
    columns = resize_columns(z, *through.columns)
    blocks = row_blocks(through.rows, through.columns[-1], z.shape[2])
    return sum_over_rows(f, columns, blocks, weights, *pixels)

"""Work at source resolution without ever holding [H, C, W]: blocks of rows of an upsampled map.

A low-resolution map z [h, w, c] is resized along its columns once, to [h, c, W]. Row by row block
the rest follows: each block of output rows is a small matrix times the few source rows it reads.
`sum_over_rows` differentiates in the same sweep: the loss is a plain sum over pixels, so a block's
gradient is known as soon as the block is, and nothing is stored or recomputed for the way back.

Channels lie between rows and columns: a reduction over them is then an addition of whole vectors
of columns, which compilers for CPUs vectorise; over a last axis they add one number at a time.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ditta_jax.algorithm.split_products import full_product
from ditta_jax.students.platform import platform
from ditta_jax.students.resize_matrices import chain

COLUMN_TILE = 128  # columns per product on a CPU: the band of a 4× upsampling is then 34 wide
CACHE_ELEMENTS = 2**19  # of a block [rows, c, W]: 2 MiB in float32, what a CPU core's cache holds
TPU_ELEMENTS = 2**22  # 16 MiB: several such blocks fit into a TPU's vector memory
GPU_ELEMENTS = 2**24  # 64 MiB, so that the start of a program costs little beside it
ROWS = 4  # blocks have a multiple of these


class RowBlocks(NamedTuple):
    """A banded matrix [H, h] cut into blocks of rows; all static.

    Attributes:
        matrices: Float[np.ndarray, "blocks rows band"]; rows beyond H are zero.
        starts: Int[np.ndarray, "blocks"], the first source row that each block reads.
        height: H.
    """

    matrices: np.ndarray
    starts: np.ndarray
    height: int


def row_blocks(sizes: tuple[int, ...], width: int, channels: int) -> RowBlocks:
    """Blocks of the row matrix `chain(*sizes)`, sized for maps of `width` × `channels`."""
    elements = {"cpu": CACHE_ELEMENTS, "tpu": TPU_ELEMENTS}.get(platform(), GPU_ELEMENTS)
    rows = elements // max(width * channels, 1) // ROWS * ROWS
    return _cut(sizes, max(ROWS, min(sizes[-1], rows)))


@functools.lru_cache(maxsize=256)
def _cut(sizes: tuple[int, ...], rows: int) -> RowBlocks:
    matrix = chain(*sizes)
    height, h = matrix.shape
    blocks = -(-height // rows)
    padded = np.concatenate([matrix, np.zeros((blocks * rows - height, h))])
    used = [np.flatnonzero(block.any(0)) for block in np.split(padded, blocks)]
    band = max(u[-1] - u[0] + 1 for u in used)
    starts = np.array([min(u[0], h - band) for u in used], np.int32)
    cut = [
        block[:, start : start + band]
        for block, start in zip(np.split(padded, blocks), starts, strict=True)
    ]
    return RowBlocks(np.stack(cut), starts, height)


def resize_columns(x: Float[Array, "h w c"], *sizes: int) -> Float[Array, "h c W"]:
    """Resize the columns through `sizes` (w, …, W); on a CPU by tiles of the banded matrix."""
    matrix = chain(*sizes)
    if matrix.shape[0] == matrix.shape[1] and np.array_equal(matrix, np.eye(len(matrix))):
        return x.swapaxes(1, 2)
    tiles = []
    # Units of matrix products do the zeros outside the band for nothing; a CPU does not.
    step = COLUMN_TILE if platform() == "cpu" else len(matrix)
    for first in range(0, len(matrix), step):
        tile = matrix[first : first + step]
        used = np.flatnonzero(tile.any(0))
        low, high = used[0], used[-1] + 1
        weights = jnp.asarray(tile[:, low:high], x.dtype)
        tiles.append(full_product("Ww,hwc->hcW", weights, x[:, low:high]))
    return jnp.concatenate(tiles, axis=2)


def map_rows(
    f: Callable,
    columns: Float[Array, "h c W"],
    blocks: RowBlocks,
    *pixels: Array,
):
    """Apply `f` to every block of rows of the upsampled map and join the results.

    Args:
        f: takes a block [rows, c, W] and the same rows of `pixels`; returns arrays [rows, …].
        columns: map whose columns have been resized.
        blocks: how rows are resized.
        pixels: arrays [H, …] that go along, cut into the same rows.
    """
    matrices, starts = jnp.asarray(blocks.matrices, columns.dtype), jnp.asarray(blocks.starts)

    def one(block):
        matrix, start, *rows = block
        return f(_upsample(matrix, start, columns), *rows)

    out = jax.lax.map(one, (matrices, starts, *(_split(p, blocks) for p in pixels)))
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[: blocks.height], out)


def transpose_rows(
    f: Callable, blocks: RowBlocks, source_rows: int, *pixels: Array
) -> Float[Array, "h c W"]:
    """Transpose of the row resizing, applied to maps that exist one block at a time.

    Args:
        f: takes the rows of `pixels` of one block and returns the block [rows, c, W].
        blocks: the row resizing whose transpose is applied.
        source_rows: h.
        pixels: arrays [H, …]; rows beyond H come as zeros.
    """
    matrices, starts = blocks.matrices, jnp.asarray(blocks.starts)
    cut = [_split(p, blocks) for p in pixels]
    like = jax.eval_shape(f, *(c[0] for c in cut))

    def step(total, block):
        matrix, start, *rows = block
        return _add_rows(total, full_product("Rn,RcW->ncW", matrix, f(*rows)), start), None

    total = jnp.zeros((source_rows, *like.shape[1:]), like.dtype)
    return jax.lax.scan(step, total, (jnp.asarray(matrices, like.dtype), starts, *cut))[0]


def sum_over_rows(
    f: Callable,
    columns: Float[Array, "h c W"],
    blocks: RowBlocks,
    weights: Float[Array, "H W"],
    *pixels: Array,
) -> Float[Array, ""]:
    """Sum of `f` over all blocks, with its gradient computed in the same sweep.

    Args:
        f: takes a block [rows, c, W], its rows of `weights` and of `pixels`; returns a scalar.
            Must not close over traced values.
        columns: map whose columns have been resized; differentiated.
        blocks: how rows are resized.
        weights: a map at source resolution; differentiated.
        pixels: further arrays [H, …]; not differentiated. Rows beyond H come as zeros.
    """
    return _sum_over_rows(f, _Static(blocks), columns, weights, *pixels)


class _Static:
    """A static argument that compares by identity; `_cut` returns one object per cut."""

    def __init__(self, blocks: RowBlocks):
        self.blocks = blocks

    def __hash__(self):
        return id(self.blocks.matrices)

    def __eq__(self, other):
        return isinstance(other, _Static) and self.blocks.matrices is other.blocks.matrices


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _sum_over_rows(f, static, columns, weights, *pixels):
    blocks = static.blocks
    matrices, starts = jnp.asarray(blocks.matrices, columns.dtype), jnp.asarray(blocks.starts)

    def step(total, block):
        matrix, start, *rows = block
        return total + f(_upsample(matrix, start, columns), *rows), None

    cut = [_split(p, blocks) for p in (weights, *pixels)]
    return jax.lax.scan(step, jnp.zeros((), columns.dtype), (matrices, starts, *cut))[0]


def _sum_forward(f, static, columns, weights, *pixels):
    blocks = static.blocks
    matrices, starts = jnp.asarray(blocks.matrices, columns.dtype), jnp.asarray(blocks.starts)

    def step(carry, block):
        total, gradient = carry
        matrix, start, weight, *rows = block

        def value(source, weight):
            return f(_upsampled(matrix, source), weight, *rows)

        source = jax.lax.dynamic_slice_in_dim(columns, start, matrix.shape[1])
        part, (d_source, d_weight) = jax.value_and_grad(value, argnums=(0, 1))(source, weight)
        return (total + part, _add_rows(gradient, d_source, start)), d_weight

    cut = [_split(p, blocks) for p in (weights, *pixels)]
    start_value = (jnp.zeros((), columns.dtype), jnp.zeros_like(columns))
    (total, gradient), d_weights = jax.lax.scan(step, start_value, (matrices, starts, *cut))
    d_weights = d_weights.reshape(-1, *weights.shape[1:])[: blocks.height]
    return total, (gradient, d_weights, len(pixels))


def _sum_backward(f, static, residuals, cotangent):
    gradient, d_weights, n = residuals
    return (cotangent * gradient, cotangent * d_weights, *[None] * n)


_sum_over_rows.defvjp(_sum_forward, _sum_backward)


def _upsample(matrix, start, columns):
    return _upsampled(matrix, jax.lax.dynamic_slice_in_dim(columns, start, matrix.shape[1]))


def _upsampled(matrix, source):
    return full_product("Rn,ncW->RcW", matrix, source)


def _add_rows(total, rows, start):
    old = jax.lax.dynamic_slice_in_dim(total, start, rows.shape[0])
    return jax.lax.dynamic_update_slice_in_dim(total, old + rows, start, axis=0)


def _split(x: Array, blocks: RowBlocks) -> Array:
    """Cut [H, …] into [blocks, rows, …], with zeros after the last row."""
    count, rows = blocks.matrices.shape[:2]
    padding = [(0, count * rows - x.shape[0])] + [(0, 0)] * (x.ndim - 1)
    return jnp.pad(x, padding).reshape(count, rows, *x.shape[1:])

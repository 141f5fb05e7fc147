"""Bilinear resizing with half-pixel centres, no align-corners, no antialiasing, as matrices.

The map is linear and separable, so it is a product with one small matrix per axis. Matrices
compose (source → network input → source resolution is one matrix per axis), and their transpose,
which gradients and prototypes need, is again a product: no scatter on any device.
"""

import functools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


@functools.lru_cache(maxsize=256)
def interpolation_matrix(n_in: int, n_out: int) -> Float[np.ndarray, "n_out n_in"]:
    """Weights of 1-D bilinear resizing from `n_in` to `n_out` samples; rows sum to 1.

    Output i reads at x = max((i + ½) n_in / n_out − ½, 0), between floor(x) and floor(x) + 1,
    both clamped to the last sample. Float64; treat as read-only.
    """
    x = np.maximum((np.arange(n_out) + 0.5) * (n_in / n_out) - 0.5, 0.0)
    low = np.minimum(np.floor(x).astype(np.int64), n_in - 1)
    high = np.minimum(low + 1, n_in - 1)
    matrix = np.zeros((n_out, n_in))
    rows = np.arange(n_out)
    np.add.at(matrix, (rows, low), 1.0 - (x - low))
    np.add.at(matrix, (rows, high), x - low)
    return matrix


@functools.lru_cache(maxsize=256)
def chain(*sizes: int) -> Float[np.ndarray, "last first"]:
    """Matrix of resizing one axis through all `sizes` in turn, e.g. `chain(h, Hi, H)`."""
    matrix = np.eye(sizes[0])
    for n_in, n_out in zip(sizes[:-1], sizes[1:], strict=True):
        if n_in != n_out:
            matrix = interpolation_matrix(n_in, n_out) @ matrix
    return matrix


def bilinear(x: Float[Array, "*b h w c"], size: tuple[int, int]) -> Float[Array, "*b H W c"]:
    """Resize the two axes before the last to `size`."""
    h, w = x.shape[-3:-1]
    return separable(x, chain(h, size[0]), chain(w, size[1]))


def separable(
    x: Float[Array, "*b h w c"],
    rows: Float[np.ndarray, "H h"],
    columns: Float[np.ndarray, "W w"],
) -> Float[Array, "*b H W c"]:
    """Apply one matrix to the rows and one to the columns of an image."""
    if rows.shape[0] != rows.shape[1] or not np.array_equal(rows, np.eye(len(rows))):
        x = jnp.einsum("Hh,...hwc->...Hwc", rows.astype(x.dtype), x)
    if columns.shape[0] != columns.shape[1] or not np.array_equal(columns, np.eye(len(columns))):
        x = jnp.einsum("Ww,...hwc->...hWc", columns.astype(x.dtype), x)
    return x

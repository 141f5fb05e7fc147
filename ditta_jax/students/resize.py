"""Bilinear resizing with half-pixel centres, no align-corners, no antialiasing, as matrices.

The map is linear and separable, so it is a product with one small matrix per axis. Matrices
compose (source → network input → source resolution is one matrix per axis), and their transpose,
which gradients and prototypes need, is again a product: no scatter on any device. Products are in
full float32 at least: weights of 1/8 and 7/8 are exact in few bits, others are not.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ditta_jax.students.resize_matrices import chain
from ditta_jax.students.wide import FULL, wide


def bilinear(x: Float[Array, "*b h w c"], size: tuple[int, int]) -> Float[Array, "*b H W c"]:
    """Resize the two axes before the last to `size`."""
    h, w = x.shape[-3:-1]
    return separable(x, chain(h, size[0]), chain(w, size[1]))


def sum_of_upsampled(
    maps: Sequence[Float[Array, "b _h _w c"]], size: tuple[int, int]
) -> Float[Array, "b H W c"]:
    """Σ_i bilinear(x_i, size), its rows in one product: Σ R_i X_i = [R_1 R_2 …] [X_1; X_2; …].

    The sum is written once; map by map it would be written and read again each time.
    """
    rows = np.concatenate([chain(x.shape[1], size[0]) for x in maps], axis=1)
    columns = [_along("Ww,bhwc->bhWc", chain(x.shape[2], size[1]), x) for x in maps]
    return _along("Hh,bhWc->bHWc", rows, jnp.concatenate(columns, axis=1))


def separable(
    x: Float[Array, "*b h w c"],
    rows: Float[np.ndarray, "H h"],
    columns: Float[np.ndarray, "W w"],
) -> Float[Array, "*b H W c"]:
    """Apply one matrix to the rows and one to the columns of an image."""
    if rows.shape[0] != rows.shape[1] or not np.array_equal(rows, np.eye(len(rows))):
        x = _along("Hh,...hwc->...Hwc", rows, x)
    if columns.shape[0] != columns.shape[1] or not np.array_equal(columns, np.eye(len(columns))):
        x = _along("Ww,...hwc->...hWc", columns, x)
    return x


def _along(axes: str, matrix: Float[np.ndarray, "n_out n_in"], x: Array) -> Array:
    """One matrix along one axis of `x`, in float32 at least."""
    x = wide(x)
    return jnp.einsum(axes, matrix.astype(x.dtype), x, precision=FULL)

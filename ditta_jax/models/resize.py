"""Bilinear resizing with half-pixel centres, no align-corners, no antialiasing, as matrices.

The map is linear and separable, so it is a product with one small matrix per axis. Matrices
compose (source → network input → source resolution is one matrix per axis), and their transpose,
which gradients and prototypes need, is again a product: no scatter on any device.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ditta_jax.models.resize_matrices import chain


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

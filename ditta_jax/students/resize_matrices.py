"""Matrices of bilinear resizing: half-pixel centres, no align-corners, no antialiasing.

Only numpy, so that what does not run JAX can use them too.
"""

import functools

import numpy as np
from jaxtyping import Float


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

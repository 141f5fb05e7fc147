"""Resizing with aligned corners, adaptive pooling, and a convolution between the two, as matrices.

ESPNetv2's decoder was trained with these; everything else resizes by `students.resize`.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ditta_jax.students.espnetv2.layers import grouped_3x3
from ditta_jax.students.resize import separable
from ditta_jax.students.wide import per_channel, wide

LEAST = 5  # samples of an axis at the smallest scale


def scaled(n: int, scale: float) -> int:
    """Samples of an axis at a scale of the pyramid: rounded up, and 5 at least."""
    return max(math.ceil(n * scale), LEAST)


@functools.lru_cache(maxsize=256)
def aligned(n_in: int, n_out: int) -> Float[np.ndarray, "n_out n_in"]:
    """Weights of 1-D bilinear resizing whose first and last samples stay where they are."""
    x = np.arange(n_out) * ((n_in - 1) / max(n_out - 1, 1))
    low = np.minimum(np.floor(x).astype(np.int64), n_in - 1)
    high = np.minimum(low + 1, n_in - 1)
    matrix = np.zeros((n_out, n_in))
    np.add.at(matrix, (np.arange(n_out), low), 1.0 - (x - low))
    np.add.at(matrix, (np.arange(n_out), high), x - low)
    return matrix


@functools.lru_cache(maxsize=256)
def pooled(n_in: int, n_out: int) -> Float[np.ndarray, "n_out n_in"]:
    """Adaptive average pooling: output i is the mean from ⌊i n_in/n_out⌋ to ⌈(i+1) n_in/n_out⌉."""
    matrix = np.zeros((n_out, n_in))
    for i in range(n_out):
        low, high = i * n_in // n_out, -(-(i + 1) * n_in // n_out)
        matrix[i, low:high] = 1.0 / (high - low)
    return matrix


def twice(n: int) -> Float[np.ndarray, "n_out n"]:
    """Resizing of an axis to twice its samples."""
    return aligned(n, 2 * n)


def pooled_convolution(
    x: Float[Array, "b h w c"], kernel: Float[Array, "3 3 1 c"], scale: float
) -> Float[Array, "b h w c"]:
    """Depth-wise 3×3 convolution at another scale, zero padding there, and back; float32 at least.

    A larger map is made by resizing and pooled back, a smaller one by pooling and resized back.
    """
    x, kernel = wide(x), wide(kernel)
    if scale > 1:
        return _at_larger_scale(x, kernel, scale)
    h, w = x.shape[1:3]
    inner_h, inner_w = scaled(h, scale), scaled(w, scale)
    smaller = grouped_3x3(
        separable(x, pooled(h, inner_h), pooled(w, inner_w)), kernel, groups=x.shape[-1]
    )
    return separable(smaller, aligned(inner_h, h), aligned(inner_w, w))


def _at_larger_scale(x, kernel, scale) -> Float[Array, "b h w c"]:
    """The convolution without the larger map.

    All of it is linear and each tap of the kernel separable: with U the way there, S the shift of a
    tap and P the way back, Σ_ij k_ij (P S_i U) x (P S_j U)ᵀ. Each of these matrices has a few
    diagonals only.
    """
    rows, columns = (_taps(n, scaled(n, scale)) for n in x.shape[1:3])
    along = [_banded(x, own, axis=2) for own in columns]
    total: Array | float = 0.0
    for taps, own in zip(kernel, rows, strict=True):
        mixed = sum(per_channel(k[0], x) * y for k, y in zip(taps, along, strict=True))
        total = total + _banded(jnp.asarray(mixed), own, axis=1)
    return jnp.asarray(total)


@functools.lru_cache(maxsize=256)
def _taps(n: int, inner: int) -> Float[np.ndarray, "3 n n"]:
    """Resizing of an axis to `inner` samples, shifts by −1, 0 and 1, and pooling back."""
    into, out = aligned(n, inner), pooled(inner, n)
    return np.stack([out @ np.eye(inner, k=shift) @ into for shift in (-1, 0, 1)])


def _banded(
    x: Float[Array, "b h w c"], matrix: Float[np.ndarray, "n n"], axis: int
) -> Float[Array, "b h w c"]:
    """A matrix along an axis as products with its diagonals: y_i = Σ_k A_(i, i+k) x_(i+k)."""
    n = len(matrix)
    offsets = [k for k in range(1 - n, n) if np.diagonal(matrix, k).any()]
    reach = max(map(abs, offsets))
    padded = jnp.pad(x, [(reach, reach) if own == axis else (0, 0) for own in range(x.ndim)])
    total: Array | float = 0.0
    for k in offsets:
        weights = np.zeros(n)
        weights[max(0, -k) : n - max(0, k)] = np.diagonal(matrix, k)
        shape = [n if own == axis else 1 for own in range(x.ndim)]
        moved = jax.lax.slice_in_dim(padded, reach + k, reach + k + n, axis=axis)
        total = total + moved * jnp.asarray(weights.reshape(shape), x.dtype)
    return jnp.asarray(total)

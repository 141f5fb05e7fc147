"""Rows of an upsampled map as a product, nothing rounded, in one pass of a TPU's product units.

Those multiply bfloat16 numbers and sum in float32; a product of float32 operands in full is six
passes over parts of them. A block's matrix has some ten columns where a unit sums over 128 at
least, so the parts fit beside each other: one pass with six, or three, times the columns.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ditta_jax.students.platform import platform
from ditta_jax.students.wide import FULL

# Weights of a resizing and what is resized are rounded by no product, whatever the default is.
full_product = functools.partial(jnp.einsum, precision=FULL)

# Which part of a weight meets which part of a number, 0 the largest: what is left out is below
# float32's last digit, as in XLA's own six passes. Weights like 5/8 are one part.
_ALL_PARTS = ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 0))
_ONE_PART = ((0, 0), (0, 1), (0, 2))

_Pairs = tuple[tuple[int, int], ...]


def upsampled(
    matrix: Float[Array, "R n"], source: Float[Array, "n c W"], all_matrices: np.ndarray
) -> Float[Array, "R c W"]:
    """Rows of an upsampled map from the source rows they read.

    Args:
        matrix: weights of a block.
        source: rows whose columns have been resized.
        all_matrices: those of all blocks, which say how many parts the weights have.
    """
    if platform() != "tpu" or source.dtype != jnp.float32:
        return full_product("Rn,ncW->RcW", matrix, source)
    return _in_one_pass(matrix, source, _ONE_PART if _is_one_part(all_matrices) else _ALL_PARTS)


def _is_one_part(matrices: np.ndarray) -> bool:
    """Whether bfloat16 holds every weight."""
    return bool(np.array_equal(matrices.astype(jnp.bfloat16).astype(matrices.dtype), matrices))


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _in_one_pass(matrix, source, pairs: _Pairs):
    weights, numbers = _parts(matrix), _parts(source)
    left = jnp.stack([weights[i] for i, _ in pairs], axis=1)
    right = jnp.stack([numbers[j] for _, j in pairs])
    return jnp.einsum("Rpn,pncW->RcW", left, right, preferred_element_type=source.dtype)


def _forward(matrix, source, pairs: _Pairs):
    return _in_one_pass(matrix, source, pairs), matrix


def _backward(pairs: _Pairs, matrix, d_rows):
    """By six passes: cutting the gradient of all rows into parts costs more than it saves."""
    return None, full_product("Rn,RcW->ncW", matrix, d_rows)


_in_one_pass.defvjp(_forward, _backward)


def _parts(x: Float[Array, "*n"]) -> list[Float[Array, "*n"]]:
    """Three bfloat16 arrays that add up to `x`, largest first, for 24 bits of significand.

    By `reduce_precision`: compilers may drop a conversion there and back, and with it the rest.
    """
    parts, bits = [], jnp.finfo(jnp.bfloat16)
    for _ in range(3):
        part = jax.lax.reduce_precision(x, bits.nexp, bits.nmant)
        parts.append(part.astype(jnp.bfloat16))
        x = x - part
    return parts

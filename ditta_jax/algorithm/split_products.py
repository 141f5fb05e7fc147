"""Products with weights of a resizing that round nothing, in as few passes of a TPU as that takes.

A TPU multiplies bfloat16 numbers and sums in float32. A float32 number is the sum of three bfloat16
ones, so a product of float32 operands in full is six passes, over the pairs of parts that matter.
Weights like 5/8 are one part: three passes are then as exact.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ditta_jax.students.wide import FULL

# Weights of a resizing and what is resized are rounded by no product, whatever the default is.
full_product = functools.partial(jnp.einsum, precision=FULL)

# Which part of a weight meets which part of a number, 0 the largest, the least products first: what
# is left out is below float32's last digit, as in XLA's own six passes.
_ALL_PARTS = ((2, 0), (1, 1), (0, 2), (1, 0), (0, 1), (0, 0))
_ONE_PART = ((0, 2), (0, 1), (0, 0))


def products_of_parts(
    x: Float[Array, "*n i"], matrix: Float[np.ndarray, "o i"]
) -> list[Float[Array, "*n o"]]:
    """What adds up to x · matrixᵀ, one pass each; three of them where bfloat16 holds the weights.

    Only forward: going back, cutting the larger gradient into parts costs what it saves.

    Args:
        x: numbers in float32.
        matrix: constant weights.
    """
    numbers, weights = _parts(x), _parts(jnp.asarray(matrix, x.dtype))
    pairs = _ONE_PART if _is_one_part(matrix) else _ALL_PARTS
    axes = (((x.ndim - 1,), (1,)), ((), ()))
    product = functools.partial(
        jax.lax.dot_general, dimension_numbers=axes, preferred_element_type=x.dtype
    )
    return [product(numbers[j], weights[i]) for i, j in pairs]


def _is_one_part(matrix: np.ndarray) -> bool:
    """Whether bfloat16 holds every weight."""
    return bool(np.array_equal(matrix.astype(jnp.bfloat16).astype(matrix.dtype), matrix))


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

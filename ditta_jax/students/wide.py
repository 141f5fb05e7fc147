"""What is computed in float32 at least, and in full, whatever dtype and products activations have.

Logits, resizing, norms and similarities lose more by rounding than they cost: bfloat16 has 8 bits,
and the fast products of accelerators round float32 operands to 8 (TPU) or 11 (GPU) of their 24.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array

FULL = jax.lax.Precision.HIGHEST  # of matrix products, whatever the default is


def wide_dtype(x: Array):
    """The dtype of `x`, float32 at least."""
    return x.dtype if jnp.finfo(x.dtype).bits >= 32 else jnp.dtype(jnp.float32)


def wide(x: Array) -> Array:
    """`x` in float32 at least."""
    return x.astype(wide_dtype(x))


def per_channel(v: Array, x: Array) -> Array:
    """A vector over the last axis of `x`, in its dtype and with as many axes."""
    return v.astype(x.dtype).reshape((1,) * (x.ndim - 1) + (-1,))

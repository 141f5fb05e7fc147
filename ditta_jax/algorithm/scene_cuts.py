"""Scene cuts, seen in what the frozen student says of consecutive frames.

Within a scene the share of each class changes slowly; at a cut it jumps. The share is a statistic
of labels that no adaptation moves, so a cut is found where it is whatever was learnt before it.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8


def class_shares(label: UInt8[Array, "H W"], num_classes: int) -> Float[Array, " C"]:
    """Share of each class in the pixels of a frame; they sum to 1."""
    classes = jnp.arange(num_classes, dtype=label.dtype)
    counts = (label.reshape(-1, 1) == classes[None]).sum(0, dtype=jnp.int32)
    return counts.astype(jnp.float32) / label.size


def distance(one: Float[Array, " C"], other: Float[Array, " C"]) -> Float[Array, ""]:
    """Share of the pixels that must change class: half of Σ |one − other|, in [0, 1]."""
    return 0.5 * jnp.abs(one - other).sum()

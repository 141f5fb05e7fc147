"""Fresh weights, drawn on the host: no compilation for the hundred shapes of a student.

The encoder starts as its family says, the rest as torch starts linear layers and convolutions.
Every leaf has its own stream, a function of seed and name only.
"""

import hashlib
import math
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def as_torch(
    kind: str, shape: tuple[int, ...], fan_in: int, generator: np.random.Generator
) -> np.ndarray:
    """Uniform in ±1/√fan_in, kernel and bias alike: kaiming-uniform with a = √5."""
    bound = 1 / math.sqrt(fan_in)
    return generator.uniform(-bound, bound, shape)


def fresh_leaf(
    path: tuple[str | int, ...],
    shape: tuple[int, ...],
    fan_in: int,
    seed: int,
    fresh_encoder: Callable[..., np.ndarray] = as_torch,
) -> Float[Array, "..."]:
    """Initial value of one weight of the student.

    Args:
        path: its place in the tree, e.g. `("decoder", "linear_1", "kernel")`.
        shape: of a linear kernel `(in, out)`, of a convolution kernel `(kh, kw, in, out)`.
        fan_in: of the layer it belongs to.
        seed: of the whole student.
        fresh_encoder: the family's own `as_torch` for kernels and biases of its encoder.
    """
    name = "/".join(map(str, path))
    words = np.frombuffer(hashlib.sha256(f"{seed}/{name}".encode()).digest(), np.uint32)
    generator = np.random.default_rng(words)
    kind = str(path[-1])
    if kind in ("scale", "var"):
        value = np.ones(shape)
    elif kind == "slope":  # of a PReLU
        value = np.full(shape, 0.25)
    elif kind == "mean" or "norm" in str(path[-2]):
        value = np.zeros(shape)
    else:
        draw = fresh_encoder if path[0] == "encoder" else as_torch
        value = draw(kind, shape, fan_in, generator)
    return jnp.asarray(value, jnp.float32)

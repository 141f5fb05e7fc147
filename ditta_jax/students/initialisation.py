"""Fresh weights, drawn on the host: no compilation for the hundred shapes of a student.

The encoder starts as the Mix Transformer's authors start it, the rest as torch starts linear
layers and 1×1 convolutions. Every leaf has its own stream, a function of seed and name only.
"""

import hashlib
import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def fresh_leaf(
    path: tuple[str | int, ...], shape: tuple[int, ...], fan_in: int, seed: int
) -> Float[Array, "..."]:
    """Initial value of one weight of the student.

    Args:
        path: its place in the tree, e.g. `("decoder", "linear_1", "kernel")`.
        shape: of a linear kernel `(in, out)`, of a convolution kernel `(kh, kw, in, out)`.
        fan_in: of the layer it belongs to; only decoder and fusion biases need it.
        seed: of the whole student.
    """
    name = "/".join(map(str, path))
    words = np.frombuffer(hashlib.sha256(f"{seed}/{name}".encode()).digest(), np.uint32)
    generator = np.random.default_rng(words)
    kind = str(path[-1])
    if kind in ("scale", "var"):
        value = np.ones(shape)
    elif kind == "mean" or "norm" in str(path[-2]):
        value = np.zeros(shape)
    elif path[0] == "encoder":
        value = _encoder(kind, shape, generator)
    else:  # kaiming-uniform with a = √5: uniform in ±1/√fan_in, kernel and bias alike
        bound = 1 / math.sqrt(shape[0] if kind == "kernel" else fan_in)
        value = generator.uniform(-bound, bound, shape)
    return jnp.asarray(value, jnp.float32)


def _encoder(kind: str, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    """Zero biases; normal with variance 2 / fan-out for convolutions, σ = 0.02 for linear."""
    if kind == "bias":
        return np.zeros(shape)
    if len(shape) == 2:
        return np.clip(generator.normal(0.0, 0.02, shape), -0.04, 0.04)
    depthwise = shape[2] == 1
    fan_out = shape[0] * shape[1] * (1 if depthwise else shape[3])
    return generator.normal(0.0, math.sqrt(2.0 / fan_out), shape)

"""Layers that students share: linear layers in the dtype of their input, and channel dropout."""

import jax
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray


class Mlp(nnx.Module):
    """Linear layers with ReLU between them."""

    def __init__(self, sizes: tuple[int, ...], rngs: nnx.Rngs):
        """Build one layer between each two `sizes`."""
        self.layers = nnx.List(
            [nnx.Linear(i, o, rngs=rngs) for i, o in zip(sizes[:-1], sizes[1:], strict=True)]
        )

    def __call__(self, x: Float[Array, "*b i"]) -> Float[Array, "*b o"]:
        """Apply the layers."""
        last = len(self.layers) - 1
        for index, layer in enumerate(self.layers):
            x = affine(layer, x)
            if index < last:
                x = jax.nn.relu(x)
        return x


def affine(layer: nnx.Linear, x: Float[Array, "*b i"]) -> Float[Array, "*b o"]:
    """A linear layer in the dtype of its input."""
    assert layer.bias is not None
    return x @ layer.kernel[...].astype(x.dtype) + layer.bias[...].astype(x.dtype)


def channel_dropout(
    key: PRNGKeyArray, frames: int, channels: int, rate: float
) -> Float[Array, "b D"]:
    """Factors of channel dropout: 0 with probability `rate`, else 1/(1 − rate), per frame."""
    return jax.random.bernoulli(key, 1.0 - rate, (frames, channels)) / (1.0 - rate)

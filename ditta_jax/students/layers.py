"""Layers that students share, in the dtype of their input, and channel dropout."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from ditta_jax.students.wide import FULL, per_channel, wide_dtype


class Mlp(nnx.Module):
    """Linear layers with ReLU between them."""

    def __init__(self, sizes: tuple[int, ...], rngs: nnx.Rngs):
        """Build one layer between each two `sizes`."""
        self.layers = nnx.List(
            [nnx.Linear(i, o, rngs=rngs) for i, o in zip(sizes[:-1], sizes[1:], strict=True)]
        )

    def __call__(self, x: Float[Array, "*b i"], last=None) -> Float[Array, "*b o"]:
        """Apply the layers, the last one by the function `last`, `affine` or `wide_affine`."""
        last = last or affine
        for layer in self.layers[:-1]:
            x = jax.nn.relu(affine(layer, x))
        return last(self.layers[-1], x)


def affine(layer: nnx.Linear, x: Float[Array, "*b i"]) -> Float[Array, "*b o"]:
    """A linear layer in the dtype of its input."""
    y = x @ layer.kernel[...].astype(x.dtype)
    return y if layer.bias is None else y + per_channel(layer.bias[...], y)


def wide_affine(layer: nnx.Linear, x: Float[Array, "*b i"]) -> Float[Array, "*b o"]:
    """A linear layer whose output is float32 at least, from products that nothing rounds."""
    kernel = layer.kernel[...].astype(x.dtype)
    y = jnp.matmul(x, kernel, precision=FULL, preferred_element_type=wide_dtype(x))
    return y if layer.bias is None else y + per_channel(layer.bias[...], y)


def convolve(layer: nnx.Conv, x: Float[Array, "b h w i"]) -> Float[Array, "b h2 w2 o"]:
    """A convolution of `nnx.Conv`'s strides, padding, dilation and groups, in its input's dtype."""
    padding: Any = layer.padding
    if isinstance(padding, int):
        padding = ((padding, padding),) * 2
    y = jax.lax.conv_general_dilated(
        x,
        layer.kernel[...].astype(x.dtype),
        _pair(layer.strides),
        padding,
        rhs_dilation=_pair(layer.kernel_dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=layer.feature_group_count,
    )
    return y if layer.bias is None else y + per_channel(layer.bias[...], y)


def _pair(value) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


def channel_dropout(
    key: PRNGKeyArray, frames: int, channels: int, rate: float
) -> Float[Array, "b D"]:
    """Factors of channel dropout: 0 with probability `rate`, else 1/(1 − rate), per frame."""
    kept = jax.random.bernoulli(key, 1.0 - rate, (frames, channels))
    return kept.astype(jnp.result_type(float)) / (1.0 - rate)

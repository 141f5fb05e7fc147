"""The decoder of ESPNetv2: efficient pyramid pooling from stride 16 up to stride 2.

The published weights are those of a bottom-up decoder: at each stride pyramid pooling with few
channels, then the map twice as large, and what the encoder has there added through a gate.

The embedding f is what the last pyramid pooling merges, at stride 2: the classifier is linear in
it, as DiTTA has it, and nothing between f and z is normalised. It has few channels (D = 10 as
published), so projection and fusion compare short vectors. What adapts as "decoder" is all of this
file; the encoder, half of whose arithmetic is BatchNorm, stays with its running statistics.
"""

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from ditta_jax.students.espnetv2.config import ESPNetv2Config
from ditta_jax.students.espnetv2.layers import ConvNorm, Convolution, NormAct
from ditta_jax.students.espnetv2.resampling import pooled_convolution, twice
from ditta_jax.students.head import Head
from ditta_jax.students.layers import wide_affine
from ditta_jax.students.resize import separable
from ditta_jax.students.wide import wide

SCALES = (2.0, 1.5, 1.0, 0.5, 0.1)  # of the pyramid poolings, in the order of their kernels


class Decoder(Head):
    """Four pyramid poolings, with the encoder's levels added between them; then the head."""

    def __init__(self, config: ESPNetv2Config, rngs: nnx.Rngs):
        """Build the decoder of `config`."""
        super().__init__(config, rngs)
        D = config.embed_dim
        inputs = (config.channels[-1], *config.widths)
        self.poolings = nnx.List([PyramidPooling(channels, D, rngs) for channels in inputs])
        self.handed_on = nnx.List([ConvNorm(D, width, 1, rngs) for width in config.widths])
        self.skips = nnx.List(
            [
                Skip(channels, width, rngs)
                for channels, width in zip(config.channels[-2::-1], config.widths, strict=True)
            ]
        )

    def embed(
        self,
        features: tuple[Float[Array, "b _h _w _c"], ...],
        weight: Float[Array, " b"] | None = None,
    ) -> Float[Array, "b h w D"]:
        """The embedding f at stride 2; `weight` as in `BatchNorm`, of every one."""
        x = features[-1]
        steps = zip(self.poolings, self.handed_on, self.skips, features[-2::-1], strict=False)
        for pooling, handed_on, skip, finer in steps:
            x = skip(handed_on(pooling(x, weight), weight), finer, weight)
        return self.poolings[-1](x, weight)


class PyramidPooling(nnx.Module):
    """Few channels, depth-wise convolutions at five scales, merged channel by channel."""

    def __init__(self, inputs, width, rngs: nnx.Rngs):
        """Build it with `width` channels."""
        self.reduce = ConvNorm(inputs, width, 1, rngs)
        self.scales = nnx.List([Convolution(width, width, 3, rngs, groups=width) for _ in SCALES])
        self.joined = NormAct(len(SCALES) * width)
        self.merge = Convolution(len(SCALES) * width, width, 3, rngs, groups=width)
        self.merged = NormAct(width)

    @jax.named_scope("pyramid_pooling")
    def __call__(self, x, weight) -> Float[Array, "b h w D"]:
        """The merged map, at the size of `x`."""
        x = self.reduce(x, weight)
        maps = []
        for scale, layer in zip(SCALES, self.scales, strict=True):
            if scale == 1.0:
                maps.append(layer(x))
            else:
                kernel = layer.conv.kernel[...]
                maps.append(pooled_convolution(x, kernel, scale).astype(x.dtype))
        y = self.joined(jnp.concatenate(maps, axis=-1), weight)
        # a group of the merging convolution has one channel of every scale
        y = y.reshape(*y.shape[:-1], len(SCALES), -1).swapaxes(-1, -2).reshape(y.shape)
        return self.merged(self.merge(y), weight)


class Skip(nnx.Module):
    """The coarser map at twice its size plus a level of the encoder, gated channel by channel."""

    def __init__(self, channels, width, rngs: nnx.Rngs):
        """Build it for a level of `channels` and a decoder of `width`."""
        self.gate = nnx.Linear(channels, width, use_bias=False, rngs=rngs)
        self.own = ConvNorm(channels, width, 3, rngs, groups=math.gcd(channels, width))
        self.sum = NormAct(width)

    @jax.named_scope("skip")
    def __call__(self, x, finer, weight) -> Float[Array, "b h w c"]:
        """At the resolution of `finer`."""
        rows, columns = (twice(n) for n in x.shape[1:3])
        upsampled = separable(x, rows, columns).astype(finer.dtype)
        mean = wide(finer).mean((1, 2), keepdims=True)
        gate = jax.nn.sigmoid(wide_affine(self.gate, mean))
        return self.sum(upsampled + self.own(finer, weight) * gate.astype(finer.dtype), weight)

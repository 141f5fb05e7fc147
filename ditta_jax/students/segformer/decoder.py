"""SegFormer's all-MLP decoder and the projection head of the contrastive loss.

The decoder is split where DiTTA needs it: levels → pre-norm map → embedding f → logits z, and
f → projection u. The functions take everything that is random or that changes as arguments.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from ditta_jax.students.resize import sum_of_upsampled
from ditta_jax.students.segformer.config import SegFormerConfig

NORM_EPS = 1e-5
NORM_MOMENTUM = 0.1  # torch's: running ← 0.9 running + 0.1 batch


class NormStatistics(NamedTuple):
    """Mean and variance per channel, as a BatchNorm keeps them.

    Attributes:
        mean: Float[Array, "D"].
        var: Float[Array, "D"]; biased where it normalises, unbiased where it is remembered.
    """

    mean: Float[Array, " D"]
    var: Float[Array, " D"]


class Decoder(nnx.Module):
    """Linear per level, upsampling, fuse convolution, BatchNorm, ReLU; classifier; projection."""

    def __init__(self, config: SegFormerConfig, rngs: nnx.Rngs):
        """Build the decoder of `config`."""
        D, C = config.embed_dim, config.num_classes
        for level, channels in enumerate(config.channels, start=1):
            setattr(self, f"linear_{level}", nnx.Linear(channels, D, rngs=rngs))
        levels = len(config.channels)
        self.fuse = nnx.Linear(levels * D, D, use_bias=False, rngs=rngs)
        self.norm = Norm(D)
        self.classifier = nnx.Linear(D, C, rngs=rngs)
        self.projection = Mlp((D, D, D, D), rngs)

    def fuse_levels(
        self, features: tuple[Float[Array, "b _h _w _c"], ...]
    ) -> Float[Array, "b h w D"]:
        """The fuse convolution's output, before BatchNorm.

        A 1×1 convolution commutes with bilinear upsampling and splits over concatenated inputs:
        conv(cat_i Up(L_i x_i + b_i)) = Σ_i Up(x_i (L_i F_i)) + Σ_i b_i F_i, with F_i the rows of
        the kernel for level i. So each level takes one product c_i → D at its own resolution.
        """
        dtype = features[0].dtype
        levels = len(features)
        kernels = jnp.split(self.fuse.kernel[...], levels)  # order of concatenation: 4 3 2 1
        maps = []
        bias: Array | float = 0.0
        for level, fuse in zip(range(levels, 0, -1), kernels, strict=True):
            linear = getattr(self, f"linear_{level}")
            folded = linear.kernel[...] @ fuse
            maps.append(features[level - 1] @ folded.astype(dtype))
            bias = bias + linear.bias[...] @ fuse
        *coarse, finest = maps
        return finest + sum_of_upsampled(coarse, finest.shape[1:3]) + jnp.asarray(bias, dtype)

    def embed(
        self, fused: Float[Array, "b h w D"], statistics: NormStatistics | None = None
    ) -> Float[Array, "b h w D"]:
        """The embedding f = ReLU(BatchNorm(fused)); running statistics unless others are given."""
        if statistics is None:
            statistics = NormStatistics(self.norm.mean[...], self.norm.var[...])
        dtype = fused.dtype
        scale = jax.lax.rsqrt(statistics.var + NORM_EPS) * self.norm.scale[...]
        # the mean first: x·s + (b − m·s) would cancel where |mean| is large beside the deviation
        centred = fused - statistics.mean.astype(dtype)
        return jax.nn.relu(centred * scale.astype(dtype) + self.norm.bias[...].astype(dtype))

    def classify(
        self, f: Float[Array, "b h w D"], keep: Float[Array, "b D"] | None = None
    ) -> Float[Array, "b h w C"]:
        """Logits z; `keep` is the channel dropout's factor per frame and channel."""
        if keep is not None:
            f = f * keep[:, None, None].astype(f.dtype)
        return affine(self.classifier, f)

    def project(self, f: Float[Array, "*b h w D"]) -> Float[Array, "*b h w D"]:
        """Projection u for the contrastive loss; takes f without dropout."""
        return self.projection(f)


class Norm(nnx.Module):
    """Parameters and running statistics of the decoder's BatchNorm."""

    def __init__(self, channels: int):
        """Start as torch does: scale 1, bias 0, mean 0, variance 1."""
        self.scale = nnx.Param(jnp.ones(channels))
        self.bias = nnx.Param(jnp.zeros(channels))
        self.mean = nnx.BatchStat(jnp.zeros(channels))
        self.var = nnx.BatchStat(jnp.ones(channels))


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


def clip_statistics(
    fused: Float[Array, "b h w D"], weight: Float[Array, " b"]
) -> tuple[NormStatistics, NormStatistics]:
    """Batch statistics over the frames of a clip, each frame with a weight of 0 or 1.

    Returns:
        the statistics that normalise (biased variance), and those that are remembered
        (unbiased: n / (n − 1) with n the number of weighted positions, as torch does).
    """
    dtype = jnp.promote_types(fused.dtype, jnp.float32)
    x, w = fused.astype(dtype), weight.astype(dtype)[:, None]
    n = w.sum() * (fused.shape[1] * fused.shape[2])
    mean = (x.sum((1, 2)) * w).sum(0) / n
    var = (((x - mean) ** 2).sum((1, 2)) * w).sum(0) / n
    return NormStatistics(mean, var), NormStatistics(mean, var * n / (n - 1))


def remember(running: NormStatistics, batch: NormStatistics) -> NormStatistics:
    """Running statistics after a batch whose remembered statistics are `batch`."""
    return jax.tree.map(
        lambda old, new: (1 - NORM_MOMENTUM) * old + NORM_MOMENTUM * new, running, batch
    )


def channel_dropout(
    key: PRNGKeyArray, frames: int, channels: int, rate: float
) -> Float[Array, "b D"]:
    """Factors of channel dropout: 0 with probability `rate`, else 1/(1 − rate), per frame."""
    return jax.random.bernoulli(key, 1.0 - rate, (frames, channels)) / (1.0 - rate)

"""Normalisation, in float32 at least: LayerNorm, and BatchNorm over the frames of a clip.

BatchNorm is torch's, with frames that may be absent.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from ditta_jax.students.wide import per_channel, wide

EPS = 1e-5
MOMENTUM = 0.1  # torch's: running ← 0.9 running + 0.1 batch


class NormStatistics(NamedTuple):
    """Mean and variance per channel, as a BatchNorm keeps them.

    Attributes:
        mean: Float[Array, "c"].
        var: Float[Array, "c"]; biased where it normalises, unbiased where it is remembered.
    """

    mean: Float[Array, " c"]
    var: Float[Array, " c"]


class BatchNorm(nnx.Module):
    """Normalisation per channel, by running statistics or by those of a batch."""

    def __init__(self, channels: int, eps: float = EPS):
        """Start as torch does: scale 1, bias 0, mean 0, variance 1."""
        self.scale = nnx.Param(jnp.ones(channels))
        self.bias = nnx.Param(jnp.zeros(channels))
        self.mean = nnx.BatchStat(jnp.zeros(channels))
        self.var = nnx.BatchStat(jnp.ones(channels))
        self.eps = eps

    @jax.named_scope("batch_norm")
    def __call__(
        self, x: Float[Array, "b h w c"], weight: Float[Array, " b"] | None = None
    ) -> Float[Array, "b h w c"]:
        """(x − mean) / √(var + eps) · scale + bias, in float32 at least.

        Args:
            x: maps of b frames.
            weight: 0 or 1 per frame; statistics are then those of the weighted frames, and the
                running ones move towards them. `None`: running statistics.
        """
        statistics = running = NormStatistics(self.mean[...], self.var[...])
        if weight is not None:
            statistics, batch = clip_statistics(x, weight)
            self.mean[...], self.var[...] = remember(running, batch)
        own = wide(x)
        scale = jax.lax.rsqrt(statistics.var + self.eps) * self.scale[...]
        # the mean first: x·s + (b − m·s) would cancel where |mean| is large beside the deviation
        centred = own - per_channel(statistics.mean, own)
        y = centred * per_channel(scale, own) + per_channel(self.bias[...], own)
        return y.astype(x.dtype)


class LayerNorm(nnx.Module):
    """Normalisation of each position over its channels."""

    def __init__(self, channels: int, eps: float):
        """Start with scale 1 and bias 0."""
        self.scale = nnx.Param(jnp.ones(channels))
        self.bias = nnx.Param(jnp.zeros(channels))
        self.eps = eps

    def __call__(self, x: Float[Array, "*b c"]) -> Float[Array, "*b c"]:
        """(x − mean) / √(var + eps) · scale + bias, in float32 at least."""
        own = wide(x)
        # Variance from differences, as torch takes it: the mean of squares minus the squared mean
        # cancels where a position's channels share a large offset.
        centred = own - own.mean(-1, keepdims=True)
        deviation = jax.lax.rsqrt((centred * centred).mean(-1, keepdims=True) + self.eps)
        y = centred * (deviation * per_channel(self.scale[...], own))
        return (y + per_channel(self.bias[...], own)).astype(x.dtype)


def clip_statistics(
    x: Float[Array, "b h w c"], weight: Float[Array, " b"]
) -> tuple[NormStatistics, NormStatistics]:
    """Batch statistics over the frames of a clip, each frame with a weight of 0 or 1.

    Returns:
        the statistics that normalise (biased variance), and those that are remembered
        (unbiased: n / (n − 1) with n the number of weighted positions, as torch does).
    """
    own = wide(x)
    w = weight.astype(own.dtype)[:, None]
    n = w.sum() * (x.shape[1] * x.shape[2])
    mean = (own.sum((1, 2)) * w).sum(0) / n
    var = (((own - per_channel(mean, own)) ** 2).sum((1, 2)) * w).sum(0) / n
    return NormStatistics(mean, var), NormStatistics(mean, var * n / (n - 1))


def remember(running: NormStatistics, batch: NormStatistics) -> NormStatistics:
    """Running statistics after a batch whose remembered statistics are `batch`."""
    return jax.tree.map(lambda old, new: (1 - MOMENTUM) * old + MOMENTUM * new, running, batch)

"""Mix Transformer, the encoder of SegFormer (Xie et al. 2021, section 3.1), of any size.

Features are channels-last. Blocks are pure in the random key: without a key nothing is dropped.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from ditta_jax.students.layers import affine, convolve
from ditta_jax.students.normalisation import LayerNorm
from ditta_jax.students.segformer.config import SegFormerConfig
from ditta_jax.students.wide import per_channel, wide_dtype


class MixTransformer(nnx.Module):
    """Four stages at strides 4, 8, 16 and 32 of overlapping patches and efficient attention."""

    def __init__(self, config: SegFormerConfig, rngs: nnx.Rngs):
        """Build all stages of `config`."""
        inputs = (3, *config.channels[:-1])
        self.stages = nnx.List(
            [Stage(config, level, inputs[level], rngs) for level in range(len(config.channels))]
        )

    def __call__(
        self,
        frames: Float[Array, "b Hi Wi 3"],
        key: PRNGKeyArray | None = None,
        stochastic_depth: float = 0.0,
        weight: Float[Array, " b"] | None = None,
    ) -> tuple[Float[Array, "b h w c"], ...]:
        """Features of the four levels, finest first.

        Args:
            frames: normalised RGB; `Hi` and `Wi` are multiples of 32.
            key: draws stochastic depth; `None`: every block is used (evaluation).
            stochastic_depth: drop rate of the last block; it grows linearly from 0.
            weight: of the frames in batch statistics, of which there are none here.
        """
        blocks = sum(len(stage.blocks) for stage in self.stages)
        rates = np.linspace(0.0, stochastic_depth, blocks).tolist()
        keys = list(jax.random.split(key, blocks)) if key is not None else [None] * blocks
        features = []
        for stage in self.stages:
            n = len(stage.blocks)
            frames = stage(frames, keys[:n], rates[:n])
            keys, rates = keys[n:], rates[n:]
            features.append(frames)
        return tuple(features)


class Stage(nnx.Module):
    """Patch embedding, blocks and a closing norm at one resolution."""

    def __init__(self, config: SegFormerConfig, level: int, inputs: int, rngs: nnx.Rngs):
        """Build level 0…3 of `config`, fed with `inputs` channels."""
        channels = config.channels[level]
        kernel, stride = (7, 4) if level == 0 else (3, 2)
        self.patch_embed = PatchEmbedding(inputs, channels, kernel, stride, config, rngs)
        self.blocks = nnx.List([Block(config, level, rngs) for _ in range(config.depths[level])])
        self.norm = LayerNorm(channels, config.block_norm_eps)

    def __call__(self, x, keys, rates) -> Float[Array, "b h w c"]:
        """Features of this level from those of the level above it."""
        x = self.patch_embed(x)
        for block, key, rate in zip(self.blocks, keys, rates, strict=True):
            x = block(x, key, rate)
        return self.norm(x)


class PatchEmbedding(nnx.Module):
    """Overlapping patches: a strided convolution and a norm."""

    def __init__(self, inputs, channels, kernel, stride, config: SegFormerConfig, rngs: nnx.Rngs):
        """Build a `kernel`/`stride` convolution with padding `kernel // 2`."""
        self.proj = nnx.Conv(
            inputs,
            channels,
            (kernel, kernel),
            strides=stride,
            padding=kernel // 2,
            rngs=rngs,
        )
        self.norm = LayerNorm(channels, config.patch_norm_eps)

    def __call__(self, x: Float[Array, "b h w i"]) -> Float[Array, "b h2 w2 c"]:
        """Embedded patches."""
        return self.norm(convolve(self.proj, x))


class Block(nnx.Module):
    """Pre-norm attention and Mix-FFN, each with a residual connection."""

    def __init__(self, config: SegFormerConfig, level: int, rngs: nnx.Rngs):
        """Build a block of level 0…3."""
        channels = config.channels[level]
        self.norm1 = LayerNorm(channels, config.block_norm_eps)
        self.attn = EfficientAttention(config, level, rngs)
        self.norm2 = LayerNorm(channels, config.block_norm_eps)
        self.mlp = MixFeedForward(channels, channels * config.mlp_ratio, rngs)

    def __call__(self, x, key, rate) -> Float[Array, "b h w c"]:
        """One block; attention and MLP are dropped independently per frame with `rate`."""
        keys = (None, None) if key is None else jax.random.split(key)
        x = x + drop_path(self.attn(self.norm1(x)), keys[0], rate)
        return x + drop_path(self.mlp(self.norm2(x)), keys[1], rate)


def drop_path(
    x: Float[Array, "b h w c"], key: PRNGKeyArray | None, rate: float
) -> Float[Array, "b h w c"]:
    """Stochastic depth: each frame's branch is zero with `rate`, else scaled by 1/(1 − rate).

    Source: Huang et al. 2016, in the rescaled form of torch image models.
    """
    if key is None or rate == 0.0:
        return x
    keep = jax.random.bernoulli(key, 1.0 - rate, (x.shape[0], 1, 1, 1))
    return jnp.where(keep, x / (1.0 - rate), 0.0).astype(x.dtype)


class EfficientAttention(nnx.Module):
    """Multi-head self-attention whose keys and values come from a reduced map."""

    def __init__(self, config: SegFormerConfig, level: int, rngs: nnx.Rngs):
        """Build attention of level 0…3; its reduction r shrinks the key map r² times."""
        channels, reduction = config.channels[level], config.reductions[level]
        self.heads = config.heads[level]
        self.q = nnx.Linear(channels, channels, rngs=rngs)
        self.kv = nnx.Linear(channels, 2 * channels, rngs=rngs)
        self.proj = nnx.Linear(channels, channels, rngs=rngs)
        self.reduction = reduction
        if reduction > 1:
            self.sr = nnx.Conv(
                channels,
                channels,
                (reduction, reduction),
                strides=reduction,
                padding="VALID",
                rngs=rngs,
            )
            self.norm = LayerNorm(channels, config.reduction_norm_eps)

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        """softmax(q kᵀ / √d) v, with k and v from the reduced map."""
        b, h, w, c = x.shape
        d = c // self.heads
        source = self.norm(convolve(self.sr, x)) if self.reduction > 1 else x
        q = affine(self.q, x).reshape(b, h * w, self.heads, d)
        kv = affine(self.kv, source).reshape(b, -1, 2, self.heads, d)
        scores = jnp.einsum(
            "bqnd,bknd->bnqk", q * d**-0.5, kv[:, :, 0], preferred_element_type=wide_dtype(x)
        )
        weights = jax.nn.softmax(scores, axis=-1)
        mixed = jnp.einsum("bnqk,bknd->bqnd", weights.astype(x.dtype), kv[:, :, 1])
        return affine(self.proj, mixed.reshape(b, h, w, c))


class MixFeedForward(nnx.Module):
    """Linear, 3×3 depthwise convolution, erf GELU, linear."""

    def __init__(self, channels: int, hidden: int, rngs: nnx.Rngs):
        """Build an MLP of width `hidden`."""
        self.fc1 = nnx.Linear(channels, hidden, rngs=rngs)
        self.dwconv = nnx.Conv(
            hidden,
            hidden,
            (3, 3),
            padding=1,
            feature_group_count=hidden,
            rngs=rngs,
        )
        self.fc2 = nnx.Linear(hidden, channels, rngs=rngs)

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        """The feed-forward branch of a block."""
        kernel, bias = self.dwconv.kernel, self.dwconv.bias
        assert bias is not None
        x = depthwise_3x3(affine(self.fc1, x), kernel[...], bias[...])
        return affine(self.fc2, jax.nn.gelu(x, approximate=False))


def depthwise_3x3(
    x: Float[Array, "b h w c"], kernel: Float[Array, "3 3 1 c"], bias: Float[Array, " c"]
) -> Float[Array, "b h w c"]:
    """3×3 depthwise convolution with zero padding, as nine shifted products.

    XLA fuses the nine products into one pass over memory, forward and backward; its grouped
    convolution has no fast CPU path and a slow kernel gradient on GPUs.
    """
    h, w = x.shape[1:3]
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    total = per_channel(bias, x)
    for dy in range(3):
        for dx in range(3):
            moved = padded[:, dy : dy + h, dx : dx + w]
            total = total + moved * per_channel(kernel[dy, dx, 0], x)
    return total


def as_the_authors(
    kind: str, shape: tuple[int, ...], fan_in: int, generator: np.random.Generator
) -> np.ndarray:
    """Fresh kernel or bias as the Mix Transformer's authors draw it.

    Zero biases; normal with variance 2 / fan-out for convolutions, σ = 0.02 for linear layers.
    """
    if kind == "bias":
        return np.zeros(shape)
    if len(shape) == 2:
        return np.clip(generator.normal(0.0, 0.02, shape), -0.04, 0.04)
    depthwise = shape[2] == 1
    fan_out = shape[0] * shape[1] * (1 if depthwise else shape[3])
    return generator.normal(0.0, math.sqrt(2.0 / fan_out), shape)

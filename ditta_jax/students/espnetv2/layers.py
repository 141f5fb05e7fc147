"""Layers of ESPNetv2: convolutions without bias, BatchNorm, PReLU.

Depth-wise and grouped convolutions are written as shifted products, which XLA fuses into one pass
over memory, forward and backward (`segformer.mit.depthwise_3x3` says why).
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from ditta_jax.students.layers import convolve
from ditta_jax.students.normalisation import BatchNorm
from ditta_jax.students.wide import per_channel


class PReLU(nnx.Module):
    """max(x, 0) + slope · min(x, 0), a slope per channel (He et al., ICCV 2015)."""

    def __init__(self, channels: int):
        """Start as torch does, with slope 1/4."""
        self.slope = nnx.Param(jnp.full(channels, 0.25))

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        """The activation."""
        return jnp.where(x >= 0, x, x * per_channel(self.slope[...], x))


class NormAct(nnx.Module):
    """BatchNorm and PReLU."""

    def __init__(self, channels: int):
        """Build both."""
        self.norm = BatchNorm(channels)
        self.act = PReLU(channels)

    def __call__(self, x, weight=None) -> Float[Array, "b h w c"]:
        """Both in turn; `weight` as in `BatchNorm`."""
        return self.act(self.norm(x, weight))


class Convolution(nnx.Module):
    """A convolution without bias that keeps the size or, with a stride, divides it."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        side: int,
        rngs: nnx.Rngs,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
    ):
        """Build a `side`×`side` kernel, padded by zeros."""
        self.conv = nnx.Conv(
            inputs,
            outputs,
            (side, side),
            strides=stride,
            padding=side // 2 * dilation,
            kernel_dilation=dilation,
            feature_group_count=groups,
            use_bias=False,
            rngs=rngs,
        )

    def __call__(self, x: Float[Array, "b h w i"]) -> Float[Array, "b h2 w2 o"]:
        """The convolution, by whichever program suits its shape."""
        groups, kernel = self.conv.feature_group_count, self.conv.kernel[...].astype(x.dtype)
        if groups == 1:
            return convolve(self.conv, x)
        if kernel.shape[0] == 1:
            return grouped_pointwise(x, kernel[0, 0], groups)
        stride, dilation = self.conv.strides, self.conv.kernel_dilation
        assert isinstance(stride, int) and isinstance(dilation, int)
        return grouped_3x3(x, kernel, groups, stride, dilation)


class ConvNorm(nnx.Module):
    """Convolution and BatchNorm, and PReLU unless `act` is false."""

    def __init__(self, inputs, outputs, side, rngs: nnx.Rngs, *, act: bool = True, **options):
        """Build all; `options` are those of `Convolution`."""
        self.conv = Convolution(inputs, outputs, side, rngs, **options)
        self.norm = BatchNorm(outputs)
        if act:
            self.act = PReLU(outputs)

    def __call__(self, x, weight=None) -> Float[Array, "b h w o"]:
        """All in turn; `weight` as in `BatchNorm`."""
        x = self.norm(self.conv(x), weight)
        return self.act(x) if hasattr(self, "act") else x


def grouped_pointwise(
    x: Float[Array, "b h w i"], kernel: Float[Array, "j o"], groups: int
) -> Float[Array, "b h w o"]:
    """1×1 convolution within groups: each of i/j groups of inputs gives o·j/i outputs."""
    inputs = jnp.split(x, groups, axis=-1)
    kernels = jnp.split(kernel, groups, axis=-1)
    return jnp.concatenate([a @ k for a, k in zip(inputs, kernels, strict=True)], axis=-1)


def grouped_3x3(
    x: Float[Array, "b h w i"],
    kernel: Float[Array, "3 3 j o"],
    groups: int,
    stride: int = 1,
    dilation: int = 1,
) -> Float[Array, "b h2 w2 o"]:
    """3×3 convolution within groups, zero padding; depth-wise where there are as many as channels.

    The n-th inputs of all groups are taken together, once for each output of their group: a group
    of j inputs is the sum of j depth-wise convolutions.
    """
    h, w = x.shape[1:3]
    members, outputs = kernel.shape[2:]
    d = dilation
    x = jnp.pad(x, ((0, 0), (d, d), (d, d), (0, 0)))
    total: Array | float = 0.0
    for member in range(members):
        own = jnp.repeat(x[..., member::members], outputs // groups, axis=-1)
        for dy in range(3):
            for dx in range(3):
                rows, columns = slice(dy * d, dy * d + h, stride), slice(dx * d, dx * d + w, stride)
                total = total + own[:, rows, columns] * per_channel(kernel[dy, dx, member], x)
    return jnp.asarray(total)


def average_3x3(x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c"]:
    """Mean over 3×3 at stride 2, zeros outside the image counted, as torch's pooling does."""
    total = jax.lax.reduce_window(
        x,
        jnp.zeros((), x.dtype),
        jax.lax.add,
        (1, 3, 3, 1),
        (1, 2, 2, 1),
        ((0, 0), (1, 1), (1, 1), (0, 0)),
    )
    return total / 9

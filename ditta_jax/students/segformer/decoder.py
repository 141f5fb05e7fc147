"""SegFormer's all-MLP decoder (Xie et al. 2021, section 3.2)."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from ditta_jax.students.head import Head
from ditta_jax.students.normalisation import BatchNorm
from ditta_jax.students.resize import sum_of_upsampled
from ditta_jax.students.segformer.config import SegFormerConfig
from ditta_jax.students.wide import per_channel, wide_dtype


class Decoder(Head):
    """Linear per level, upsampling, fuse convolution, BatchNorm, ReLU; then the head."""

    def __init__(self, config: SegFormerConfig, rngs: nnx.Rngs):
        """Build the decoder of `config`."""
        super().__init__(config, rngs)
        D = config.embed_dim
        for level, channels in enumerate(config.channels, start=1):
            setattr(self, f"linear_{level}", nnx.Linear(channels, D, rngs=rngs))
        levels = len(config.channels)
        self.fuse = nnx.Linear(levels * D, D, use_bias=False, rngs=rngs)
        self.norm = BatchNorm(D)

    @jax.named_scope("fuse_levels")
    def fuse_levels(
        self, features: tuple[Float[Array, "b _h _w _c"], ...]
    ) -> Float[Array, "b h w D"]:
        """The fuse convolution's output, before BatchNorm, in float32 at least.

        A 1×1 convolution commutes with bilinear upsampling and splits over concatenated inputs:
        conv(cat_i Up(L_i x_i + b_i)) = Σ_i Up(x_i (L_i F_i)) + Σ_i b_i F_i, with F_i the rows of
        the kernel for level i. So each level takes one product c_i → D at its own resolution.
        """
        levels = len(features)
        kernels = jnp.split(self.fuse.kernel[...], levels)  # order of concatenation: 4 3 2 1
        maps = []
        bias: Array | float = 0.0
        for level, fuse in zip(range(levels, 0, -1), kernels, strict=True):
            linear, x = getattr(self, f"linear_{level}"), features[level - 1]
            folded = (linear.kernel[...] @ fuse).astype(x.dtype)
            maps.append(jnp.matmul(x, folded, preferred_element_type=wide_dtype(x)))
            bias = bias + linear.bias[...] @ fuse
        *coarse, finest = maps
        h, w = finest.shape[1:3]
        upsampled = sum_of_upsampled(coarse, (h, w))
        return finest + upsampled + per_channel(jnp.asarray(bias), finest)

    def embed(
        self,
        features: tuple[Float[Array, "b _h _w _c"], ...],
        weight: Float[Array, " b"] | None = None,
    ) -> Float[Array, "b h w D"]:
        """The embedding f = ReLU(BatchNorm(fuse_levels)); `weight` as in `BatchNorm`."""
        f = jax.nn.relu(self.norm(self.fuse_levels(features), weight))
        return f.astype(features[0].dtype)

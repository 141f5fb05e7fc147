"""SegFormer's all-MLP decoder (Xie et al. 2021, section 3.2)."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from ditta_jax.students.head import Head
from ditta_jax.students.normalisation import BatchNorm
from ditta_jax.students.resize import sum_of_upsampled
from ditta_jax.students.segformer.config import SegFormerConfig


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
        self,
        features: tuple[Float[Array, "b _h _w _c"], ...],
        weight: Float[Array, " b"] | None = None,
    ) -> Float[Array, "b h w D"]:
        """The embedding f = ReLU(BatchNorm(fuse_levels)); `weight` as in `BatchNorm`."""
        return jax.nn.relu(self.norm(self.fuse_levels(features), weight))

"""The decoder of OpenMMLab's SegFormer: every level is normalised before it is upsampled.

Its head is trained so (mmsegmentation, `decode_head.convs`), and weights cannot be carried over to
the paper's decoder, where nothing stands between a level's linear layer and the fuse convolution.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from ditta_jax.students.head import Head
from ditta_jax.students.normalisation import BatchNorm
from ditta_jax.students.openmmlab.config import OpenMMLabConfig
from ditta_jax.students.resize import sum_of_upsampled
from ditta_jax.students.wide import wide_dtype


class LevelNormDecoder(Head):
    """Per level linear, BatchNorm, ReLU; upsampling; fuse convolution, BatchNorm, ReLU; head."""

    def __init__(self, config: OpenMMLabConfig, rngs: nnx.Rngs):
        """Build the decoder of `config`."""
        super().__init__(config, rngs)
        D = config.embed_dim
        for level, channels in enumerate(config.channels, start=1):
            setattr(self, f"linear_{level}", nnx.Linear(channels, D, use_bias=False, rngs=rngs))
            setattr(self, f"norm_{level}", BatchNorm(D))
        self.fuse = nnx.Linear(len(config.channels) * D, D, use_bias=False, rngs=rngs)
        self.norm = BatchNorm(D)

    def embed(
        self,
        features: tuple[Float[Array, "b _h _w _c"], ...],
        weight: Float[Array, " b"] | None = None,
    ) -> Float[Array, "b h w D"]:
        """The embedding f; `weight` as in `BatchNorm`, of every level too.

        The fuse convolution commutes with upsampling, so each level takes its part of it at its
        own resolution: conv(cat_i Up(x_i)) = Σ_i Up(x_i F_i).
        """
        kernels = jnp.split(self.fuse.kernel[...], len(features))  # order of concatenation: 1 2 3 4
        maps = []
        for level, (x, fuse) in enumerate(zip(features, kernels, strict=True), start=1):
            linear, norm = getattr(self, f"linear_{level}"), getattr(self, f"norm_{level}")
            own = jax.nn.relu(norm(x @ linear.kernel[...].astype(x.dtype), weight))
            kernel = fuse.astype(own.dtype)
            maps.append(jnp.matmul(own, kernel, preferred_element_type=wide_dtype(own)))
        finest, *coarse = maps
        fused = finest + sum_of_upsampled(coarse, (finest.shape[1], finest.shape[2]))
        return jax.nn.relu(self.norm(fused, weight)).astype(features[0].dtype)

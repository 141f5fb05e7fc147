"""The temporal fusion module: logits of the previous frame, fetched by attention."""

import jax
from flax import nnx
from jaxtyping import Array, Float

from ditta_jax.students.layers import Mlp, affine
from ditta_jax.students.platform import platform
from ditta_jax.students.protocol import StudentConfig
from ditta_jax.students.wide import per_channel
from ditta_jax.students.window_attention import window_attention
from ditta_jax.students.window_attention_blocks import block_attention


class TemporalFusion(nnx.Module):
    """q = MLP(f_t), k = MLP(f_{t−1}), v = z_{t−1}; attention within a window of radius r."""

    def __init__(self, config: StudentConfig, rngs: nnx.Rngs):
        """Build query and key MLPs of width D."""
        D = config.embed_dim
        self.query = Mlp((D, D, D), rngs)
        self.key = Mlp((D, D, D), rngs)
        self.radius = config.radius

    def __call__(
        self,
        f: Float[Array, "h w D"],
        f_previous: Float[Array, "h w D"],
        z_previous: Float[Array, "h w C"],
    ) -> Float[Array, "h w C"]:
        """Fused logits z̃_t (SPEC "Temporal fusion module").

        The attention is one of two programs: on a CPU tiles one row after another, elsewhere whole
        blocks, several rows at once. Both are XLA's: Pallas kernels cut all tiles into memory first
        and lost, by the TPU compiler's own estimate (docs/performance.md).
        """
        arrays = *self.query_and_key(f, f_previous), z_previous
        if platform() != "cpu":
            return block_attention(*arrays, self.radius)
        return window_attention(*arrays, self.radius)

    @jax.named_scope("query_and_key")
    def query_and_key(
        self, f: Float[Array, "h w D"], f_previous: Float[Array, "h w D"]
    ) -> tuple[Float[Array, "h w D"], Float[Array, "h w D"]]:
        """Maps whose inner products differ from ⟨q, k⟩ by a constant per query only.

        With hidden layers a of the query and b of the key, q = a W + s and k = b V + t,
            ⟨q, k⟩ = ⟨a (W Vᵀ) + s Vᵀ, b⟩ + ⟨q, t⟩,
        and a softmax over keys does not see ⟨q, t⟩: three products over the map instead of four.
        Nor does it see what all keys share: without their mean, scores are rounded less.
        """
        a = jax.nn.relu(affine(self.query.layers[0], f))
        b = jax.nn.relu(affine(self.key.layers[0], f_previous))
        b -= jax.lax.stop_gradient(b.mean((0, 1), keepdims=True))
        query, key = self.query.layers[1], self.key.layers[1]
        assert query.bias is not None
        kernel, bias = (x[...] @ key.kernel[...].T for x in (query.kernel, query.bias))
        return a @ kernel.astype(a.dtype) + per_channel(bias, a), b

"""The temporal fusion module: logits of the previous frame, fetched by attention."""

from flax import nnx
from jaxtyping import Array, Float

from ditta_jax.models.config import StudentConfig
from ditta_jax.models.decoder import Mlp
from ditta_jax.models.window_attention import window_attention

ATTENTIONS = ("tiles", "pallas")  # programs of the same attention: XLA's, and Pallas kernels


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
        attention: str = "tiles",
    ) -> Float[Array, "h w C"]:
        """Fused logits z̃_t (SPEC "Temporal fusion module").

        `attention`: "tiles" (XLA), or "pallas": kernels, which a CPU only interprets, to test them.
        """
        arrays = self.query(f), self.key(f_previous), z_previous
        if attention == "pallas":
            from ditta_jax.models.window_attention_pallas import window_attention_pallas

            return window_attention_pallas(*arrays, self.radius)
        if attention != "tiles":
            raise ValueError(f"attention must be one of {', '.join(ATTENTIONS)}, not {attention!r}")
        return window_attention(*arrays, self.radius)

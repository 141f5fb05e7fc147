"""What a decoder ends in, whatever its family: a linear classifier and the projection head."""

import jax
from flax import nnx
from jaxtyping import Array, Float

from ditta_jax.students.layers import Mlp, wide_affine
from ditta_jax.students.protocol import StudentConfig


class Head(nnx.Module):
    """Classifier and projection of the embedding f; a family's decoder adds `embed`."""

    def __init__(self, config: StudentConfig, rngs: nnx.Rngs):
        """Build both for D channels and C classes."""
        D, C = config.embed_dim, config.num_classes
        self.classifier = nnx.Linear(D, C, rngs=rngs)
        self.projection = Mlp((D, D, D, D), rngs)

    @jax.named_scope("classifier")
    def classify(
        self, f: Float[Array, "b h w D"], keep: Float[Array, "b D"] | None = None
    ) -> Float[Array, "b h w C"]:
        """Logits z, float32 at least; `keep` is the channel dropout's factor per channel."""
        if keep is not None:
            f = f * keep[:, None, None].astype(f.dtype)
        return wide_affine(self.classifier, f)

    @jax.named_scope("projection")
    def project(self, f: Float[Array, "*b h w D"]) -> Float[Array, "*b h w D"]:
        """Projection u for the contrastive loss, float32 at least; takes f without dropout."""
        return self.projection(f, last=wide_affine)

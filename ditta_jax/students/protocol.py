"""What a student is to everything outside `students`: four functions of arrays, and three parts.

    encode    frames → features      any pytree of maps, as the family likes
    embed     features → f           the embedding that classifier, projection and fusion share
    classify  f → z                  logits
    project   f → u                  for the contrastive loss

Evaluation and training differ in two arguments. A random key draws stochastic depth. A `weight`
per frame, 0 or 1, makes every BatchNorm on the way normalise by the statistics of the batch, in
which a frame of weight 0 has no say; the new running statistics are then in the student, and
`parts.remembered` reads them off. There may be none, one or many BatchNorms.

A family of students brings a configuration, an encoder and a decoder (`families`). The temporal
fusion is the same for all.
"""

from typing import Any, ClassVar, Protocol

from jaxtyping import Array, Float, PRNGKeyArray, PyTree


class StudentConfig(Protocol):
    """What every family's frozen dataclass of sizes has, beside what is its own."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def num_classes(self) -> int:
        """C."""

    @property
    def embed_dim(self) -> int:
        """D, channels of the embedding f."""

    @property
    def radius(self) -> int:
        """Half the side of the fusion's attention window, on the grid of f."""

    @property
    def mean(self) -> tuple[float, ...]:
        """Of the input's normalisation, RGB, grey levels."""

    @property
    def std(self) -> tuple[float, ...]:
        """Of the input's normalisation, likewise."""


class Encoder(Protocol):
    """From frames to features; frozen in DiTTA as the paper has it."""

    def __call__(
        self,
        frames: Float[Array, "b Hi Wi 3"],
        key: PRNGKeyArray | None = None,
        stochastic_depth: float = 0.0,
        weight: Float[Array, " b"] | None = None,
    ) -> PyTree[Float[Array, "b _h _w _c"]]:
        """Features of each frame.

        Args:
            frames: normalised RGB; sides are multiples of the encoder's largest stride.
            key: draws stochastic depth; `None`: nothing is dropped.
            stochastic_depth: highest drop rate of a block; a family may have no use for it.
            weight: of the frames in batch statistics; `None`: running statistics.
        """
        ...


class Decoder(Protocol):
    """From features to the embedding, and from there to logits and projections."""

    def embed(
        self, features: PyTree, weight: Float[Array, " b"] | None = None
    ) -> Float[Array, "b h w D"]:
        """The embedding f of each frame; `weight` as in `Encoder`."""
        ...

    def classify(
        self, f: Float[Array, "b h w D"], keep: Float[Array, "b D"] | None = None
    ) -> Float[Array, "b h w C"]:
        """Logits z; `keep` is the factor of channel dropout per frame and channel."""
        ...

    def project(self, f: Float[Array, "*b h w D"]) -> Float[Array, "*b h w D"]:
        """Projection u for the contrastive loss; takes f without dropout."""
        ...

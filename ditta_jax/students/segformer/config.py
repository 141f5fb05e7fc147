"""Sizes of a SegFormer student, and the table of published Mix Transformers."""

import dataclasses

from ditta_jax.errors import UserError
from ditta_jax.ranges import Range, between, fit_fields, several
from ditta_jax.students.sizes import CLASSES, LIKES, MEAN, MEANS, STD, STDS

_EPS = between(1e-12, 1.0)


def _levels(most: int) -> Range:
    return several(between(1, most), f"four numbers in 1 … {most}, one a level", 4, 4)


RANGES: dict[str, Range] = {
    "num_classes": CLASSES,
    "channels": _levels(8192),
    "depths": _levels(256),
    "heads": _levels(256),
    "reductions": _levels(64),
    "mlp_ratio": between(1, 64),
    "embed_dim": between(1, 8192),
    "radius": between(0, 64),
    "patch_norm_eps": _EPS,
    "block_norm_eps": _EPS,
    "reduction_norm_eps": _EPS,
    "mean": MEANS,
    "std": STDS,
}


@dataclasses.dataclass(frozen=True)
class SegFormerConfig:
    """Everything that fixes the shapes and the arithmetic of a student.

    Attributes:
        num_classes: C.
        channels: of the four encoder levels, at strides 4, 8, 16 and 32.
        depths: blocks per level.
        heads: attention heads per level.
        reductions: side by which each level's key map is shrunk.
        mlp_ratio: hidden width of the MLPs over the channels.
        embed_dim: D.
        radius: half the side of the fusion's attention window.
        patch_norm_eps: LayerNorm eps of the patch embeddings.
        block_norm_eps: of blocks and stage norms.
        reduction_norm_eps: after the reduction convolutions.
        mean: of the input's normalisation, RGB, grey levels.
        std: likewise.
    """

    num_classes: int
    channels: tuple[int, ...] = (32, 64, 160, 256)
    depths: tuple[int, ...] = (2, 2, 2, 2)
    heads: tuple[int, ...] = (1, 2, 5, 8)
    reductions: tuple[int, ...] = (8, 4, 2, 1)
    mlp_ratio: int = 4
    embed_dim: int = 256
    radius: int = 5
    patch_norm_eps: float = 1e-5
    block_norm_eps: float = 1e-6
    reduction_norm_eps: float = 1e-5
    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD

    def __post_init__(self) -> None:
        """Refuse sizes that no student has, before anything is allocated.

        Raises:
            UserError: a value of another type or out of range, or heads that do not divide.
        """
        fit_fields(self, RANGES, likes=LIKES)
        if any(c % h for c, h in zip(self.channels, self.heads, strict=True)):
            raise UserError(f"'heads' {self.heads} must divide 'channels' {self.channels}")

    @classmethod
    def published(cls, size: str, num_classes: int, **changes) -> "SegFormerConfig":
        """The Mix Transformer B0 … B5 (Xie et al. 2021, table 6)."""
        channels = (32, 64, 160, 256) if size == "B0" else (64, 128, 320, 512)
        return cls(num_classes, channels=channels, depths=DEPTHS[size], **changes)


DEPTHS = {
    "B0": (2, 2, 2, 2),
    "B1": (2, 2, 2, 2),
    "B2": (3, 4, 6, 3),
    "B3": (3, 4, 18, 3),
    "B4": (3, 8, 27, 3),
    "B5": (3, 6, 40, 3),
}

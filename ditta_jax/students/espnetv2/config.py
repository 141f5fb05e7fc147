"""Sizes of an ESPNetv2 student."""

import dataclasses

from ditta_jax.errors import UserError
from ditta_jax.ranges import Range, between, fit_fields, several
from ditta_jax.students.sizes import CLASSES, LIKES, MEAN, MEANS, STD, STDS

BRANCHES = 4  # of an EESP unit: K of the paper's experiments

RANGES: dict[str, Range] = {
    "num_classes": CLASSES,
    "channels": several(between(1, 8192), "four numbers in 1 … 8192, one a level", 4, 4),
    "depths": several(between(1, 256), "two numbers in 1 … 256, of levels 3 and 4", 2, 2),
    "widths": several(between(1, 8192), "three numbers in 1 … 8192, coarsest first", 3, 3),
    "embed_dim": between(1, 8192),
    "radius": between(0, 64),
    "mean": MEANS,
    "std": STDS,
}


@dataclasses.dataclass(frozen=True)
class ESPNetv2Config:
    """Everything that fixes the shapes and the arithmetic of a student.

    Attributes:
        num_classes: C.
        channels: of the four encoder levels, at strides 2, 4, 8 and 16.
        depths: units of levels 3 and 4 that keep the resolution.
        widths: channels of the decoder at strides 16, 8 and 4, as it hands them on.
        embed_dim: D, channels within the pyramid poolings; the embedding is the last one's.
        radius: half the side of the fusion's attention window, at stride 2.
        mean: of the input's normalisation, RGB, grey levels.
        std: likewise.
    """

    num_classes: int
    channels: tuple[int, ...] = (32, 128, 256, 512)
    depths: tuple[int, ...] = (3, 7)
    widths: tuple[int, ...] = (64, 48, 32)
    embed_dim: int = 10
    radius: int = 5
    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD

    def __post_init__(self) -> None:
        """Refuse sizes that no student has, before anything is allocated.

        Raises:
            UserError: a value of another type or out of range, or channels that do not divide.
        """
        fit_fields(self, RANGES, likes=LIKES)
        grows = all(a < b for a, b in zip(self.channels[:-1], self.channels[1:], strict=True))
        if not grows or any(c % BRANCHES**2 for c in self.channels):
            raise UserError(
                f"'channels' {self.channels} must grow from level to level, by multiples of "
                f"{BRANCHES**2}"
            )

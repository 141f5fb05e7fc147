"""The encoder of ESPNetv2 (Mehta et al., CVPR 2019, section 3): EESP units at four levels.

An EESP unit reduces its channels by grouped 1×1 convolutions, looks at them by depth-wise
convolutions of several dilations whose results are summed from the smallest to the largest, and
expands them by grouped 1×1 convolutions. Where the resolution is halved, average pooling stands
beside it, and the shrunken image is added.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from ditta_jax.students.espnetv2.config import BRANCHES, ESPNetv2Config
from ditta_jax.students.espnetv2.layers import (
    ConvNorm,
    Convolution,
    NormAct,
    PReLU,
    average_3x3,
)

# Branches see 3, 5, 7 and 9 pixels; in units of the coarsest level none more than 7 (the paper
# limits the field by the size of the map), and 3 stands for what is beyond. Which units are limited
# was told by the published weights: with other dilations their accuracy on CamVid falls.
DILATIONS = (1, 2, 3, 4)
COARSE_DILATIONS = (1, 1, 2, 3)


class Encoder(nnx.Module):
    """Levels at strides 2, 4, 8 and 16."""

    def __init__(self, config: ESPNetv2Config, rngs: nnx.Rngs):
        """Build the encoder of `config`."""
        first, *_ = config.channels
        self.stem = ConvNorm(3, first, 3, rngs, stride=2)
        steps = zip(config.channels[:-1], config.channels[1:], (0, *config.depths), strict=True)
        self.levels = nnx.List(
            [
                Level(inputs, outputs, depth, DILATIONS if n < 2 else COARSE_DILATIONS, rngs)
                for n, (inputs, outputs, depth) in enumerate(steps)
            ]
        )

    def __call__(
        self,
        frames: Float[Array, "b Hi Wi 3"],
        key: PRNGKeyArray | None = None,
        stochastic_depth: float = 0.0,
        weight: Float[Array, " b"] | None = None,
    ) -> tuple[Float[Array, "b h w c"], ...]:
        """Features of the four levels, finest first.

        Args:
            frames: normalised RGB; `Hi` and `Wi` are multiples of 16.
            key: of no use: no unit is dropped.
            stochastic_depth: likewise.
            weight: of the frames in batch statistics; `None`: running statistics.
        """
        features = [self.stem(frames, weight)]
        image = average_3x3(frames)
        for level in self.levels:
            image = average_3x3(image)
            features.append(level(features[-1], image, weight))
        return tuple(features)


class Level(nnx.Module):
    """A unit that halves the resolution, and units that keep it."""

    def __init__(self, inputs, outputs, depth, dilations, rngs: nnx.Rngs):
        """Build a level of `depth` units behind the first."""
        self.down = Down(inputs, outputs, rngs)
        self.units = nnx.List([Unit(outputs, dilations, rngs) for _ in range(depth)])

    def __call__(self, x, image, weight) -> Float[Array, "b h w c"]:
        """Features of this level from those of the one above and the image at its size."""
        x = self.down(x, image, weight)
        for unit in self.units:
            x = unit(x, weight)
        return x


class Pyramid(nnx.Module):
    """Reduce, dilated depth-wise convolutions with sums, expand: what all EESP units share."""

    def __init__(self, inputs, outputs, dilations, stride, rngs: nnx.Rngs):
        """Build it from `inputs` to `outputs` channels."""
        width = outputs // BRANCHES
        self.reduce = ConvNorm(inputs, width, 1, rngs, groups=BRANCHES)
        self.branches = nnx.List(
            [
                Convolution(width, width, 3, rngs, stride=stride, dilation=d, groups=width)
                for d in dilations
            ]
        )
        self.joined = NormAct(outputs)
        self.expand = ConvNorm(outputs, outputs, 1, rngs, groups=BRANCHES, act=False)

    def __call__(self, x, weight) -> Float[Array, "b h w c"]:
        """The branches joined; each but the first has the one before it added."""
        x = self.reduce(x, weight)
        maps = [self.branches[0](x)]
        for branch in self.branches[1:]:
            maps.append(maps[-1] + branch(x))
        return self.expand(self.joined(jnp.concatenate(maps, axis=-1), weight), weight)


class Unit(nnx.Module):
    """EESP with a residual connection."""

    def __init__(self, channels, dilations, rngs: nnx.Rngs):
        """Build a unit that keeps resolution and channels."""
        self.pyramid = Pyramid(channels, channels, dilations, 1, rngs)
        self.act = PReLU(channels)

    @jax.named_scope("eesp")
    def __call__(self, x, weight) -> Float[Array, "b h w c"]:
        """One unit."""
        return self.act(x + self.pyramid(x, weight))


class Down(nnx.Module):
    """Strided EESP: average pooling beside the pyramid, and the image added (figure 2)."""

    def __init__(self, inputs, outputs, rngs: nnx.Rngs):
        """Build it; the pyramid makes the channels that pooling does not."""
        self.pyramid = Pyramid(inputs, outputs - inputs, DILATIONS, 2, rngs)
        self.image_1 = ConvNorm(3, 3, 3, rngs)
        self.image_2 = ConvNorm(3, outputs, 1, rngs, act=False)
        self.act = PReLU(outputs)

    @jax.named_scope("strided_eesp")
    def __call__(self, x, image, weight) -> Float[Array, "b h w c"]:
        """Half the resolution; `image` has it already."""
        joined = jnp.concatenate([average_3x3(x), self.pyramid(x, weight)], axis=-1)
        return self.act(joined + self.image_2(self.image_1(image, weight), weight))

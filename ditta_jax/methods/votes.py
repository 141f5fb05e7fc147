"""The vote of tracked objects on their classes (Eq. 4), as methods with a teacher take it."""

import numpy as np

from ditta_jax.algorithm.settings import Settings
from ditta_jax.algorithm.targets import MaskSource, Vote, vote
from ditta_jax.methods.protocol import WarmUp


def vote_of(masks: MaskSource, warm_up: WarmUp, num_classes: int, settings: Settings) -> Vote:
    """The objects' votes over the warm-up frames.

    Args:
        masks: on the warm-up frames at least.
        warm_up: stage A's result; N(c) counts all its labels, prompted or not.
        num_classes: C.
        settings: the vote's two exponents.
    """
    return vote(
        masks,
        warm_up.labels,
        warm_up.reliability,
        num_classes,
        np.bincount(warm_up.labels.ravel(), minlength=num_classes),
        settings.area_power,
        settings.frequency_power,
    )

"""What is trained when, as a function of the spent share of the time budget."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

SMALL_STEPS_UNTIL = 0.25
ONE_FRAME_UNTIL = 0.4
TWO_FRAMES_UNTIL = 0.48
WARM_UP_STEPS = 40
LAST_RATE = 0.02  # of the highest learning rate
MASK_PROMPT_SHARE = 0.2
ALL_OBJECTS = 14  # of a frame; beside its image's features, more of them cost next to nothing


class Step(NamedTuple):
    """One step of a worker: clips, frames each, objects at most of each, kind of prompt."""

    clips: int
    length: int
    objects: int
    mask_prompt: bool


def plan_step(spent: float, step: int) -> Step:
    """Return the step's plan; the same in every worker, so that none waits for another.

    Args:
        spent: share of the time budget, 0..1.
        step: number of the step, which also seeds the draw.
    """
    rng = np.random.default_rng([7, step])
    if spent < ONE_FRAME_UNTIL:
        # Many small steps at first, then steadier ones.
        return Step(3 if spent < SMALL_STEPS_UNTIL else 4, 1, 6, False)
    mask_prompt = bool(rng.random() < MASK_PROMPT_SHARE)
    if spent < TWO_FRAMES_UNTIL:
        return Step(3, 2, 4, mask_prompt)
    draw = rng.random()
    if draw < 0.3:  # a click is still worth practising on many clips
        return Step(4, 1, ALL_OBJECTS, False)
    if draw < 0.65:
        return Step(2, 4, 3, mask_prompt)
    if draw < 0.85:
        return Step(1, 6, 5, mask_prompt)
    return Step(1, 8, 5, mask_prompt)


def learning_rate(spent: float, step: int) -> float:
    """Return the factor on the highest learning rate: warm-up, then half a cosine."""
    warm = min(1.0, (step + 1) / WARM_UP_STEPS)
    cosine = 0.5 * (1 + math.cos(math.pi * min(max(spent, 0.0), 1.0)))
    return warm * (LAST_RATE + (1 - LAST_RATE) * cosine)


def balance(spent: float) -> float:
    """Return the weight of the balanced cross entropy: from 0.75 down to 0 by two thirds.

    Small objects need it at first; to the end, it has their masks reach beyond them.
    """
    return max(0.0, 0.75 - 1.1 * spent)


def average_decay(step: int) -> float:
    """Return the decay of the weights' moving average, which starts short."""
    return min(0.998, (1 + step) / (10 + step))

"""What a teacher's own card says of how it is best used; the card lies beside its weights."""

from __future__ import annotations

import json
from typing import NamedTuple

from ditta_jax.teacher.identity import EMBEDDED, embedded_weights


class TeacherCard(NamedTuple):
    """What holds with a teacher unless a person sets it; None where the card says nothing.

    Attributes:
        mask_threshold: logit above which a pixel is in a mask.
        lr: learning rate of the student that learns from these masks, above 0.
    """

    mask_threshold: float | None = None
    lr: float | None = None


def card_of(config: str) -> TeacherCard:
    """Return the card of the teacher that `teacher.config` names; only `embedded` has one."""
    if config != EMBEDDED:
        return TeacherCard()
    said = json.loads(embedded_weights().with_name("card.json").read_text(encoding="utf-8"))
    return TeacherCard(float(said["mask_threshold"]), float(said["learning_rate"]))

"""What a teacher's own card says of how it is best used; the card lies beside its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from ditta_jax.errors import UserError
from ditta_jax.files import parse_json, read_regular
from ditta_jax.ranges import MASK_THRESHOLD, between, fitted
from ditta_jax.teacher.identity import EMBEDDED, embedded_weights

_MOST_BYTES = 1 << 16
_RANGES = {
    "mask_threshold": MASK_THRESHOLD,
    "learning_rate": between(0.0, 1.0, above=True),
}


class TeacherCard(NamedTuple):
    """What holds with a teacher unless a person sets it; None where the card says nothing.

    Attributes:
        mask_threshold: logit above which a pixel is in a mask.
        lr: learning rate of the student that learns from these masks, above 0.
    """

    mask_threshold: float | None = None
    lr: float | None = None


def card_of(config: str) -> TeacherCard:
    """Return the card of the teacher that `teacher.config` names; only `embedded` has one.

    Raises:
        UserError: the card is missing, damaged, or has a value that does not exist.
    """
    if config != EMBEDDED:
        return TeacherCard()
    return read_card(embedded_weights().with_name("card.json"))


def read_card(path: Path) -> TeacherCard:
    """Return what a card says; UserError names file and key where it is none."""
    try:
        said = parse_json(read_regular(path, _MOST_BYTES))
        if not isinstance(said, dict):
            raise ValueError("expected a JSON object")
        return TeacherCard(_number(said, "mask_threshold"), _number(said, "learning_rate"))
    except OSError as error:
        reason = error.strerror or "cannot be read"
    except ValueError as error:
        reason = str(error)
    raise UserError(f"{path}: not the card of a teacher: {reason}; install the package again")


def _number(said: dict[str, Any], key: str) -> float | None:
    """A key's value in its range; ValueError for another, or for keys that nothing reads."""
    unknown = said.keys() - _RANGES.keys() - {"why"}
    if unknown:
        raise ValueError(f"unknown key {min(unknown)!r}")
    if said.get(key) is None:
        return None
    try:
        return float(fitted(said[key], 0.0, _RANGES[key]))
    except ValueError as error:
        raise ValueError(f"{key!r} {error}") from None

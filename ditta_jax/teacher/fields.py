"""Values out of a JSON file, each checked before anything is computed or allocated from it.

Every function returns the value or raises ValueError with what is wrong. JSON's types are told
apart strictly: true is no number, 1.0 no whole one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

MOST_SIDE = 65_535  # pixels
MOST_PIXELS = 1 << 28  # of a frame
MOST_FRAMES = 1_000_000
MOST_CLASSES = 65_535
MOST_OBJECTS = 100_000
MOST_TEXT = 1_000  # characters of a name, which may be longer than what a file can be called


def whole(value: Any, what: str, low: int, high: int) -> int:
    """Return an integer in low..high."""
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"{what} must be a whole number from {low} to {high}, not {_short(value)}")
    return value


def real(value: Any, what: str, low: float = -math.inf, high: float = math.inf) -> float:
    """Return a finite number in low..high."""
    if type(value) not in (int, float) or not low <= value <= high or not math.isfinite(value):
        raise ValueError(f"{what} must be a number from {low} to {high}, not {_short(value)}")
    return float(value)


def text(value: Any, what: str) -> str:
    """Return a text of at most `MOST_TEXT` characters."""
    if not isinstance(value, str) or len(value) > MOST_TEXT:
        raise ValueError(f"{what} must be text of at most {MOST_TEXT} characters")
    return value


def items(value: Any, what: str, most: int, least: int = 0) -> list[Any]:
    """Return a list of least..most items."""
    if not isinstance(value, list) or not least <= len(value) <= most:
        raise ValueError(f"{what} must be a list of {least} to {most} items")
    return value


def mapping(value: Any, what: str) -> Mapping[str, Any]:
    """Return a JSON object."""
    if not isinstance(value, dict):
        raise ValueError(f"{what} must be a mapping, not {_short(value)}")
    return value


def size(value: Any) -> tuple[int, int]:
    """Return (H, W) of a frame."""
    height, width = (whole(side, "a side", 1, MOST_SIDE) for side in items(value, "size", 2, 2))
    if height * width > MOST_PIXELS:
        raise ValueError(f"size: {height} x {width} pixels, at most {MOST_PIXELS} in all")
    return height, width


def _short(value: Any) -> str:
    if isinstance(value, int) and abs(value) >= 10**40:
        return f"one of {value.bit_length()} bits"
    shown = (
        repr(value) if isinstance(value, (int, float, str, type(None))) else type(value).__name__
    )
    return shown if len(shown) <= 60 else shown[:60] + "..."

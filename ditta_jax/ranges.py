"""Which values something may have: stated once, said in words, and checked.

For settings, and for the JSON files that people may edit.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from ditta_jax import names
from ditta_jax.errors import UserError
from ditta_jax.labels import IGNORE

MOST_CLASSES = IGNORE  # labels are bytes, and the last one means "not labelled"


class Range(NamedTuple):
    """Values of one type that are allowed.

    Attributes:
        words: what a value must be, to follow "must be".
        fault: says what is wrong with a value; empty if nothing is.
    """

    words: str
    fault: Callable[[Any], str]


def between(low: float, high: float, *, above: bool = False, below: bool = False) -> Range:
    """Finite numbers from `low` to `high`; with `above` and `below` without these two."""

    def fault(value: float) -> str:
        if not math.isfinite(value):
            return "it is not a finite number"
        inside = (low < value if above else low <= value) and (
            value < high if below else value <= high
        )
        return "" if inside else "it is out of range"

    first = f"above {low:g}" if above else f"{low:g} or more"
    last = f"below {high:g}" if below else f"at most {high:g}"
    words = f"{first} and {last}" if above or below else f"in {low} … {high}"
    return Range(words, fault)


def one_of(*choices: str) -> Range:
    """One of a few words."""
    words = f"one of {', '.join(choices)}"
    return Range(words, lambda value: "" if value in choices else "there is no such choice")


def text(words: str, pattern: str = "", *, empty: bool = True) -> Range:
    """Text without control characters; where a regular expression is given, all of it matches."""

    def fault(value: str) -> str:
        if not value.strip():
            return "" if empty else "it is empty"
        if any(ord(character) < 32 or ord(character) == 127 for character in value):
            return "it holds a control character"
        return "" if not pattern or re.fullmatch(pattern, value) else "it is something else"

    return Range(words, fault)


def anything(words: str) -> Range:
    """Every value of the type."""
    return Range(words, lambda value: "")


def name(words: str) -> Range:
    """Names of one file or folder that people can type: no paths, no leading dot or dash."""

    def fault(value: str) -> str:
        begins = f"it begins with {value[0]!r}" if value.startswith((".", "-")) else ""
        return names.fault_of(value) or begins

    return Range(words, fault)


def several(
    member: Range, words: str, least: int = 0, most: int = 1000, *, distinct: bool = False
) -> Range:
    """Tuples of `least` to `most` members that are each in a range."""

    def fault(value: Sequence[Any]) -> str:
        if not least <= len(value) <= most:
            wanted = f"{least}" if least == most else f"{least} … {most}"
            return f"it has {len(value)} members, not {wanted}"
        for own in value:
            if reason := member.fault(own):
                return f"of {own!r}, {reason}"
        if distinct and len(set(value)) < len(value):
            twice = next(own for own in value if list(value).count(own) > 1)
            return f"it has {twice!r} twice"
        return ""

    return Range(words, fault)


def fault_of_classes(classes: Sequence[str]) -> str:
    """Say what is wrong with the names of a student's classes; empty if nothing is."""
    if len(classes) > MOST_CLASSES:
        return (
            f"{len(classes)} classes are more than {MOST_CLASSES}, since labels are bytes and "
            f"{IGNORE} means not labelled"
        )
    return several(CLASS_NAME, "", 1, MOST_CLASSES, distinct=True).fault(classes)


def fitted(value: Any, like: Any, allowed: Range) -> Any:
    """A value in the type of another, if nothing is lost, and in a range.

    Whole numbers serve as real ones, lists as tuples, numpy's scalars as Python's.

    Raises:
        ValueError: it is not; the message says what it must be and what it is.
    """
    value = _as_kind(value, like)
    if not _same_kind(value, like):
        raise ValueError(f"must be {_kind(like)}, not {_kind(value)} ({shown(value)})")
    if fault := allowed.fault(value):
        raise ValueError(f"must be {allowed.words}, not {shown(value)}: {fault}")
    return value


def fit_fields(
    own: Any,
    allowed: Mapping[str, Range],
    title: str = "'{}'",
    likes: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Put the fields of a frozen dataclass that is being made into their types and ranges.

    Args:
        own: the value; None stays in a field whose default it is.
        allowed: by the fields' names; a field that is not there may have any value.
        title: of a field in messages, around its name.
        likes: values of the types that fields have whose defaults do not show them.

    Raises:
        UserError: names the field, the value and what is allowed.
    """
    for field in dataclasses.fields(own):
        value = getattr(own, field.name)
        if field.name not in allowed or (value is None and field.default is None):
            continue
        try:
            like = likes.get(field.name, field.default)
            value = fitted(value, like, allowed[field.name])
        except ValueError as error:
            raise UserError(f"{title.format(field.name)} {error}") from None
        object.__setattr__(own, field.name, value)  # a whole number for a real one, say


def _as_kind(value: Any, like: Any) -> Any:
    if not isinstance(value, bool | int | float | str) and getattr(value, "shape", None) == ():
        value = value.item()
    if isinstance(like, tuple) and isinstance(value, list | tuple):
        return tuple(_as_kind(member, like[0]) for member in value)
    if type(like) is float and type(value) is int and abs(value) < 2**53:
        return float(value)
    return value


def _same_kind(value: Any, like: Any) -> bool:
    """Whether a value has the type of another; members of tuples that of its first one."""
    if isinstance(like, tuple):
        return isinstance(value, tuple) and all(_same_kind(member, like[0]) for member in value)
    return type(value) is type(like)


def _kind(value: Any) -> str:
    if isinstance(value, tuple) and value:
        kinds = sorted({_kind(member) for member in value})
        return f"tuple of {' and '.join(kinds)}"
    return type(value).__name__


def shown(value: object, most: int = 80) -> str:
    """A value as messages show it, on one line and cut where it is long."""
    said = repr(value)
    return said if len(said) <= most else said[: most - 1] + "…"


FLAG = anything("True or False")
SHARE = between(0.0, 1.0)
RATE_BELOW_ONE = between(0.0, 1.0, below=True)
MASK_THRESHOLD = between(-1000.0, 1000.0)  # a logit
TORCH_DEVICES = text(
    "auto, cpu, cuda, cuda:1, mps, … or several of them: cuda:0,cuda:1",
    r"auto|[a-z]+(:\d{1,3})?(,[a-z]+(:\d{1,3})?)*",
    empty=False,
)
THREADS = between(0, 1024)
LEARNING_RATE = between(0.0, 1.0)


def sides(least: int, most: int) -> Range:
    """Two numbers of pixels."""
    return several(between(least, most), f"two numbers of pixels in {least} … {most}", 2, 2)


# What the computation of all stages may be told, by the names of `algorithm.settings.Settings`;
# configurations take their ranges from here.
SETTINGS: dict[str, Range] = {
    "iters": between(1, 100000),
    "lr": LEARNING_RATE,
    "beta1": RATE_BELOW_ONE,
    "beta2": RATE_BELOW_ONE,
    "eps": between(1e-30, 1.0),
    "weight_decay": between(0.0, 100.0),
    "momentum": SHARE,
    "dropout": RATE_BELOW_ONE,
    "train": one_of("decoder", "classifier", "addon", "norms", "all"),
    "least_frames": between(0, 100000),
    "area_power": between(0.0, 100.0),
    "frequency_power": between(0.0, 100.0),
    "loss_on": one_of("probabilities", "logits"),
    "terms": several(
        one_of("plain", "fused", "contrast"),
        "some of plain, fused, contrast, each once",
        1,
        distinct=True,
    ),
    "gradient_norm": FLAG,
    "temperature": between(1e-3, 1e3),
    "stochastic_depth": RATE_BELOW_ONE,
    "threshold": SHARE,
    "scale": sides(16, 16384),
    "divisor": between(1, 1024),
    "compute": one_of("float32", "bfloat16", "float64"),
    "matmul": one_of("default", "high", "highest"),
    "protocol": one_of("freeze", "online"),
    "seed": between(0, 2**32 - 1),
}

OPTIMISERS = ("adam", "sgd")

# What methods may be told, by their names and those of their fields.
METHODS: dict[str, dict[str, Range]] = {
    "tent": {
        "lr": LEARNING_RATE,
        "optimiser": one_of(*OPTIMISERS),
        "norms": one_of("batch", "all"),
    },
    "ditta_cuts": {"distance": SHARE},
    "auxadapt": {"lr": LEARNING_RATE, "optimiser": one_of(*OPTIMISERS)},
    "cotta": {
        "lr": LEARNING_RATE,
        "params": one_of("all", "decoder", "classifier", "norms"),
        "momentum": SHARE,
        "restore": SHARE,
        "threshold": SHARE,
        "scales": several(between(0.05, 8.0), "scales in 0.05 … 8", 1, 32),
        "flip": FLAG,
    },
}

CLASS_NAME = text("a name", empty=False)
CLASS_NAMES = Range(f"different names, at most {MOST_CLASSES}", fault_of_classes)
COLOUR = several(between(0, 255), "red, green and blue, 0 … 255", 3, 3)

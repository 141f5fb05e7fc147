"""One setting: what the schema says of it."""

from __future__ import annotations

from typing import Any, NamedTuple

from ditta_jax.ranges import Range, text


class Setting(NamedTuple):
    """One setting.

    Attributes:
        default: the paper's value wherever the paper has one; its type is the setting's.
        range: the values that are allowed.
        meaning: one line, with the unit.
        paper: the paper's (or the released program's) value, where it is another or notable.
        of_teacher: unset (None) until the teacher is known: what its card says holds, else the
            default.
    """

    default: Any
    range: Range
    meaning: str
    paper: str = ""
    of_teacher: bool = False


Schema = dict[str, "Setting | Schema"]

FOLDER = text("a path, or empty")

"""Classes of data sets, and which class of one is which of another.

`classes/<data set>.csv` holds label and name (and colour) of each class; `classes/A_to_B.csv` for
each class of A its counterpart in B with the reason. A class without counterpart becomes `len(B)`:
a prediction of it is no class of B, so it misses whatever the truth is there, and is a false
alarm of none of B's classes.
"""

from __future__ import annotations

import csv
import difflib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ditta_jax.errors import UserError
from ditta_jax.ranges import MOST_CLASSES

NO_COUNTERPART = "(no counterpart)"
_MOST_BYTES = 1 << 20
_OF_CLASSES = ("label", "name")
_OF_MAPS = ("from", "to", "reason")


class ClassMap(NamedTuple):
    """From one data set's classes to another's.

    Attributes:
        source: names of the classes that are mapped.
        target: names of the classes they become.
        table: UInt8["len(source)"]: index into `target`, `len(target)` where there is none.
        palette: RGB of the target's classes, where they have known ones.
    """

    source: tuple[str, ...]
    target: tuple[str, ...]
    table: np.ndarray
    palette: tuple[tuple[int, int, int], ...] = ()

    def of_student(self, classes: Sequence[str]) -> np.ndarray:
        """The table for a student whose classes have these names; by order where none is known.

        Raises:
            UserError: they are other classes.
        """
        known = {_plain(name): number for number, name in enumerate(self.source)}
        strange = [name for name in classes if _plain(name) not in known]
        if not strange:
            return self.table[[known[_plain(name)] for name in classes]]
        if len(classes) != len(self.source):
            raise UserError(
                f"data.class_map: the student has {len(classes)} classes, the table is of"
                f" {len(self.source)}"
            )
        if len(strange) < len(classes):
            raise UserError(
                f"data.class_map: the student's class {strange[0]!r} is not in the table; rename"
                " it by `classes`, or give a table of your own"
            )
        return self.table


def data_sets() -> list[str]:
    """Data sets whose classes are known, by the names that tables use."""
    return [name for name in _tables() if "_to_" not in name]


def class_names(data_set: str) -> tuple[str, ...]:
    """Names in label order of one of `data_sets`."""
    return tuple(row["name"] for row in _rows(_shipped(data_set), _OF_CLASSES))


def class_palette(data_set: str) -> tuple[tuple[int, int, int], ...]:
    """RGB in label order; empty where the table has none."""
    rows = _rows(_shipped(data_set), _OF_CLASSES)
    if "red" not in rows[0]:
        return ()
    return tuple((int(row["red"]), int(row["green"]), int(row["blue"])) for row in rows)


def class_map(name: str) -> ClassMap:
    """A table by name (`vspw_to_cityscapes`) or of a file with the columns from, to, reason.

    Of a file, the target's classes are those it names, in the order of their first mention.

    Raises:
        UserError: no such table, or a broken one.
    """
    path = Path(name).expanduser()
    if name.endswith(".csv"):
        if not path.is_file():
            raise UserError(f"data.class_map: {name}: no such file")
        rows = _rows(path, _OF_MAPS)
        target = tuple(dict.fromkeys(row["to"] for row in rows if row["to"]))
    else:
        known = _known_maps()
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; {near[0]!r} is meant?" if near else ""
            raise UserError(
                f"data.class_map: unknown table {name!r}; known: {', '.join(known)}, or a .csv"
                f" file{hint}"
            )
        rows = _rows(_shipped(name), _OF_MAPS)
        target = class_names(_target_of(name))
        return _mapped(rows, target, name)._replace(palette=class_palette(_target_of(name)))
    return _mapped(rows, target, name)


def _plain(name: str) -> str:
    return name.strip().lower().replace("_", " ").replace("-", " ")


def _mapped(rows: list[dict[str, str]], target: tuple[str, ...], name: str) -> ClassMap:
    source = tuple(row["from"] for row in rows)
    if len(set(source)) < len(source):
        twice = next(own for own in source if source.count(own) > 1)
        raise UserError(f"data.class_map: {name}: the class {twice!r} is there twice")
    if not 1 <= len(target) < MOST_CLASSES:
        raise UserError(
            f"data.class_map: {name}: to {len(target)} classes; expected 1 … {MOST_CLASSES - 1}"
        )
    numbers = {own: number for number, own in enumerate(target)} | {"": len(target)}
    table = np.array([numbers[row["to"]] for row in rows], np.uint8)
    return ClassMap(source, target, table)


def _target_of(name: str) -> str:
    return name.partition("_to_")[2]


def _known_maps() -> list[str]:
    return [name for name in _tables() if "_to_" in name]


def _tables() -> list[str]:
    folder = resources.files("ditta_jax.data") / "classes"
    return sorted(file.name.removesuffix(".csv") for file in folder.iterdir())


def _shipped(name: str) -> Path:
    return Path(str(resources.files("ditta_jax.data") / "classes" / f"{name}.csv"))


def _rows(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            text = file.read(_MOST_BYTES + 1)
        if len(text) > _MOST_BYTES:
            raise ValueError("too large for a table of classes")
        rows = [
            {key: (value or "").strip() for key, value in row.items() if isinstance(key, str)}
            for row in csv.DictReader(text.splitlines())
        ]
    except (OSError, ValueError, csv.Error) as error:  # of them, text in another encoding
        raise UserError(f"data.class_map: {path}: cannot read it as text: {error}") from error
    if not rows or not set(columns) <= set(rows[0]):
        raise UserError(
            f"data.class_map: {path}: expected a first line {','.join(columns)} and such lines"
        )
    return rows

"""Names of classes as people bring them: after a comma each, or in a text file, one a line."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from pathlib import Path

from ditta_jax.errors import UserError
from ditta_jax.ranges import fault_of_classes

_MOST_BYTES = 2**20
_MARKS = (  # first bytes by which an encoding is told; the longer ones first
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# "0: road", "0 road", "0,road", "0\troad", "1. road", "[0] road"
_NUMBERED = re.compile(r"\[?(\d{1,3})\]?\s*(?:[:.,;=\t)-]|\s)\s*(\S.*)")


def read_class_names(option: str, where: str) -> tuple[str, ...]:
    """Names of an option: separated by commas, or in a file of that name.

    In a file blank lines and those after `#` do not count; numbers before the names must be those
    of the labels, from 0 or from 1. Any Unicode encoding with a mark, UTF-8 or Latin-1 are read.

    Args:
        option: as it was given; empty: no names.
        where: the option, for messages.

    Raises:
        UserError: no names, too many, the same one twice, numbers with gaps, or no text.
    """
    if not option:
        return ()
    path = Path(option)
    if path.is_file():
        where = f"{where} {path}"
        names = _without_numbers(_lines(path, where), where)
    elif path.is_dir():
        raise UserError(f"{where} {path}: is a folder, not a file with one name a line")
    elif path.suffix == ".txt" and "," not in option:
        raise UserError(f"{where} {path}: no such file")
    else:
        names = [word.strip().strip("'\"") for word in option.strip("()[]").split(",")]
        names = names[:-1] if not names[-1] else names
    if fault := fault_of_classes(names):
        raise UserError(f"{where}: {fault}")
    return tuple(names)


def distinct_names(names: Sequence[str]) -> tuple[str, ...]:
    """Names that a student may have: empty ones made up, and a number after the same one again."""
    seen: set[str] = set()
    result = []
    for index, name in enumerate(names):
        plain = " ".join("".join(c for c in name if c.isprintable()).split()) or f"class {index}"
        own, again = plain, 2
        while own in seen:
            own, again = f"{plain} ({again})", again + 1
        seen.add(own)
        result.append(own)
    return tuple(result)


def _lines(path: Path, where: str) -> list[str]:
    """Lines with a name, of text in any encoding that can be told."""
    try:
        with open(path, "rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise UserError(f"{where}: cannot be read: {error.strerror}") from error
    if len(data) > _MOST_BYTES:
        raise UserError(f"{where}: is too large for a list of names")
    text = _decoded(data, where)
    lines = [line.strip() for line in text.splitlines()]
    names = [line for line in lines if line and not line.startswith("#")]
    if not names:
        raise UserError(f"{where}: is empty; write one name a line")
    if len(names) == 1 and "," in names[0]:
        names = [word.strip() for word in names[0].split(",") if word.strip()]
    return names


def _decoded(data: bytes, where: str) -> str:
    marked = next((name for mark, name in _MARKS if data.startswith(mark)), "")
    if not marked and b"\0" in data:
        half = data[1::2].count(0) - data[::2].count(0)  # of UTF-16, Latin letters have one 0 each
        marked = "utf-16-le" if half > 0 else "utf-16-be"
    for encoding in [marked] if marked else ["utf-8", "latin-1"]:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if all(c.isprintable() or c.isspace() for c in text):
            return text
    raise UserError(f"{where}: is no text; write one name a line, in UTF-8")


def _without_numbers(names: list[str], where: str) -> list[str]:
    """Names behind numbers that are those of the labels; a list without numbers as it is."""
    found = [_NUMBERED.fullmatch(name) for name in names]
    if not all(found):
        return names
    numbers = [int(match[1]) for match in found if match]
    first = numbers[0]
    if first not in (0, 1) or numbers != list(range(first, first + len(numbers))):
        raise UserError(f"{where}: its numbers must be 0, 1, 2, … in order, as the labels are")
    return [match[2].strip().strip("'\",") for match in found if match]

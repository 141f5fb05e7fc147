"""`data.list`: a text file that names the videos to use, one a line, such as VSPW's `val.txt`."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from ditta_jax.errors import UserError

_MOST_BYTES = 1 << 24


def read_list(path: str, root: str = "") -> list[str]:
    """The lines of a list, without empty ones and comments (`#`).

    Args:
        path: of the file; looked for in `root` too.
        root: folder of the data.

    Raises:
        UserError: no such file, no text, or nothing in it.
    """
    places = [Path(path).expanduser(), Path(root).expanduser() / path]
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        raise UserError(f"data.list: {path}: no such file, here or in data.path")
    try:
        with open(file, "rb") as opened:
            text = opened.read(_MOST_BYTES).decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"data.list: {file}: cannot read it: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"data.list: {file}: no text in UTF-8; save it as such") from error
    lines = [line.strip() for line in text.splitlines()]
    names = [line for line in lines if line and not line.startswith("#")]
    if not names:
        raise UserError(f"data.list: {file}: names no video; expected one a line")
    return names


def select(lines: Sequence[str], known: Sequence[str], where: str) -> list[str]:
    """The videos that the lines name, in their order.

    A line is a video's name, a path that ends in it, or has it as its first word.

    Raises:
        UserError: a video that is not there, or one that is named twice.
    """
    names: dict[str, None] = {}
    for line in lines:
        name = _named(line, set(known))
        if name is None:
            near = difflib.get_close_matches(line, known, 1)
            hint = f"; {near[0]!r} is meant?" if near else f"; there are {len(known)} others"
            raise UserError(f"data.list: {where}: no video {line!r} in data.path{hint}")
        if name in names:
            raise UserError(f"data.list: {where}: the video {name!r} is named twice")
        names[name] = None
    return list(names)


def _named(line: str, known: set[str]) -> str | None:
    words = line.split()
    for text in (line, words[0]):
        path = text.rstrip("/").split("/")
        for candidate in (text, path[-1], path[-1].rpartition(".")[0]):
            if candidate in known:
                return candidate
    return None

"""`student.json`: what a checkpoint says about its weights, checked as a file that people edit."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any, NamedTuple

from ditta_jax.errors import UserError
from ditta_jax.files import open_regular, parse_json
from ditta_jax.names import fault_of
from ditta_jax.ranges import CLASS_NAMES, COLOUR, Range, fitted, several, shown
from ditta_jax.students import families
from ditta_jax.students.protocol import StudentConfig

FILE = "student.json"
FORMAT = "ditta_jax student 1"
FUSION = "fusion"  # what `source` says of it: "trained", where it was
_MOST_BYTES = 4 * 2**20  # 255 names and colours, sizes and a note take some kilobytes


class StudentCard(NamedTuple):
    """What a checkpoint says about its weights.

    Attributes:
        config: sizes of the student, of its family's type.
        classes: C names, in label order.
        palette: C RGB triples, 0…255.
        source: where the weights came from: a command, a converted file, a training step.
    """

    config: StudentConfig
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    source: dict


def content_of(card: StudentCard) -> dict[str, Any]:
    """What student.json holds, but for the digests of the files beside it."""
    return {
        "format": FORMAT,
        "family": families.name_of(card.config),
        **card._asdict(),
        "config": dataclasses.asdict(card.config),
    }


def read(folder: Path) -> tuple[StudentCard, dict[str, str]]:
    """The card of a checkpoint folder, and SHA-256 of its other files (none in old ones).

    Raises:
        UserError: no such folder, not a student of this program, or a key that does not fit.
    """
    file = folder / FILE
    if not folder.is_dir():
        what = "is a file, not a checkpoint" if folder.exists() else "no such checkpoint"
        raise UserError(
            f"{folder}: {what} folder; train one with python -m ditta_jax.pretrain, "
            "or convert one with python -m ditta_jax.convert"
        )
    try:
        text = parse_json(_bytes_of(file))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(
            f"{file}: not a checkpoint of this program ({reason}); python -m ditta_jax.convert "
            "reads others"
        ) from error
    if not isinstance(text, dict) or text.get("format") != FORMAT:
        raise UserError(
            f'{file}: not a checkpoint of this program (no "format": "{FORMAT}"); python -m '
            "ditta_jax.convert reads others"
        )
    try:
        return _card(text), _digests(text)
    except (ValueError, UserError) as error:
        raise UserError(f"{file}: {error}") from None


def _bytes_of(file: Path) -> bytes:
    with open_regular(file) as opened:
        data = opened.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise ValueError(f"it has more than {_MOST_BYTES} bytes")
    return data


def _card(text: dict[str, Any]) -> StudentCard:
    """Raise ValueError or UserError with the key that does not fit."""
    config = _config(text)
    count = config.num_classes
    classes = _fitted(text, "classes", ("",), CLASS_NAMES)
    colours = several(COLOUR, "RGB colours (0 … 255)", count, count)
    palette = _fitted(text, "palette", ((0, 0, 0),), colours)
    if len(classes) != count:
        raise ValueError(f"'classes' has {len(classes)} names, and 'num_classes' is {count}")
    source = text.get("source")
    if not isinstance(source, dict):
        raise ValueError(f"'source' must be an object, not {shown(source)}")
    return StudentCard(config, classes, palette, source)


def _config(text: dict[str, Any]) -> StudentConfig:
    family = text.get("family", families.FIRST)
    if not isinstance(family, str) or fault_of(family):
        raise ValueError(f"'family' must be a name, not {shown(family)}")
    kind = families.named(family).config
    sizes = text.get("config")
    if not isinstance(sizes, dict):
        raise ValueError(f"'config' must be an object, not {shown(sizes)}")
    fields = {field.name: field for field in dataclasses.fields(kind)}
    unknown = [key for key in sizes if key not in fields]
    if unknown:
        raise ValueError(f"'config.{unknown[0]}' is unknown; known: {', '.join(fields)}")
    for name, field in fields.items():
        if name not in sizes and field.default is dataclasses.MISSING:
            raise ValueError(f"'config.{name}' is missing")
    tuples = {key: tuple(v) if isinstance(v, list) else v for key, v in sizes.items()}
    try:
        return kind(**tuples)
    except (UserError, ValueError, TypeError) as error:
        raise ValueError(f"in 'config', {error}") from None


def _digests(text: dict[str, Any]) -> dict[str, str]:
    files = text.get("files", {})
    if isinstance(files, list):  # of a version that only named them
        return {}
    if not isinstance(files, dict):
        raise ValueError(f"'files' must be an object, not {shown(files)}")
    for name, digest in files.items():
        if any(fault_of(part) for part in name.split("/")):
            raise ValueError(f"'files' names {shown(name)}, which is no file of a checkpoint")
        if not isinstance(digest, str) or not re.fullmatch("[0-9a-f]{64}", digest):
            raise ValueError(f"'files.{name}' must be 64 digits, not {shown(digest)}")
    return files


def _fitted(text: dict[str, Any], key: str, like: Any, allowed: Range) -> Any:
    """A value of the file in the type of another; ValueError with its key."""
    if key not in text:
        raise ValueError(f"'{key}' is missing")
    try:
        return fitted(text[key], like, allowed)
    except ValueError as error:
        raise ValueError(f"'{key}' {error}") from None

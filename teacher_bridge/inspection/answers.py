"""Which answers lie in an entry, and the one that is meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from ditta_jax.errors import UserError
from ditta_jax.files import read_regular, unseal
from ditta_jax.teacher.cache import Entry, Masklets, read_entry, read_masklets

_MOST_BYTES = 1 << 30


class Answer(NamedTuple):
    """One teacher's answer to one request.

    Attributes:
        entry: the request, its frames' files.
        key: the teacher's key.
        masklets: its masks.
    """

    entry: Entry
    key: str
    masklets: Masklets

    @property
    def teacher(self) -> str:
        """Who answered, as a person calls it."""
        about = self.masklets.provenance
        return " ".join(str(about[name]) for name in ("teacher", "config") if name in about)

    def prompts(self, t: int) -> list[dict]:
        """The clicks on frame t, as the provenance has them; none of imported masks."""
        listed = self.masklets.provenance.get("prompts")
        clicks = listed if isinstance(listed, list) else []
        return [c for c in clicks if _is_click(c) and c["frame"] == t]


def _is_click(click: Any) -> bool:
    """Whether it is one as this program writes it; a teacher of one's own may write others."""
    return isinstance(click, dict) and all(
        type(click.get(key)) is int for key in ("object_id", "frame", "class_id", "y", "x")
    )


def read_answer(folder: Path, teacher: str = "") -> Answer:
    """Read an answer of an entry.

    Args:
        folder: the entry.
        teacher: the first digits of the teacher's key, where several have answered.

    Raises:
        UserError: no answer, several to choose from, or a damaged one.
    """
    entry = read_entry(folder)
    answers = sorted(entry.folder.glob("masklets-*.json"))
    files = [file for file in answers if file.stem.startswith(f"masklets-{teacher}")]
    if answers and not files:
        names = ", ".join(file.stem.removeprefix("masklets-") for file in answers)
        raise UserError(f"{folder}: no answer of --teacher {teacher!r}; there are: {names}")
    if not files:
        raise UserError(f"{folder}: no masklets here; run python -m teacher_bridge --cache ...")
    if len(files) > 1:
        names = ", ".join(file.stem.removeprefix("masklets-") for file in files)
        raise UserError(f"{folder}: several teachers have answered: choose by --teacher: {names}")
    try:
        key = str(unseal(read_regular(files[0], _MOST_BYTES)).get("teacher_key"))
    except (OSError, ValueError) as error:
        raise UserError(f"{files[0]}: damaged ({error}); run the teacher again") from None
    masklets = read_masklets(entry.folder, key)
    if masklets is None:
        raise UserError(f"{files[0]}: cannot be used; delete it and run the teacher again")
    return Answer(entry, key, masklets)

"""Whether a folder is one of a run: what is not is refused before anything is written into it."""

import json
from pathlib import Path
from typing import Any

from ditta_jax.errors import UserError
from ditta_jax.files import writing
from ditta_jax.runs import lock

# What a sweep and a comparison of the same name keep in the folder of a run.
_SHARED = (
    *(lock.NAME, ".shares", "sweep", "sweep.json"),
    *("cells", "compare.json", "compare.md", "compare.png"),
)
# Sections of a configuration: a JSON file without them is none of this program.
_SECTIONS = {"name", "data", "student", "teacher", "tta"}


def refuse_foreign(path: Path) -> None:
    """Refuse a folder that holds something and is no run."""
    with writing(path):
        if path.exists() and not path.is_dir():
            raise UserError(f"{path}: is a file; a run needs a folder: give it another name")
        inside = sorted(p.name for p in path.iterdir()) if path.is_dir() else []
    inside = [name for name in inside if name not in _SHARED and not name.endswith(".partial")]
    config = read_json(path / "config.json")
    if inside and (config is None or not config.keys() >= _SECTIONS):
        raise UserError(
            f"{path}: holds files that are not of a run ({inside[0]}); give the run another name"
        )


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object, or None if there is none at this path."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None

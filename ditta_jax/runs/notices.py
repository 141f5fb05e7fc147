"""What a person should know before a run, although nothing is wrong with it."""

from collections.abc import Iterator
from typing import Any

EMBEDDED = "embedded"
_DEMO = "procedural_drive"


def notices(config: Any) -> Iterator[str]:
    """One line for each part of the demo that meets other data than the demo's.

    Args:
        config: the settings of a run.
    """
    if config.data.kind == "tfds" and config.data.builder == _DEMO:
        return
    if config.student.checkpoint == EMBEDDED:
        yield (
            "note: the embedded student knows the demo's streets only; for other videos name one "
            "that knows their classes (student.checkpoint, python -m ditta_jax.convert)"
        )
    if config.teacher.config == EMBEDDED:
        yield (
            "note: the embedded teacher was made for the demo's streets; for other videos name "
            "SAM 2 (teacher.config=large, teacher.checkpoint=FILE) or teacher.config=flow"
        )

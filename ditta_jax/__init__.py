"""DiTTA in JAX: turn an image segmentation model into a video one at test time.

    import ditta_jax as dj

    student = dj.load_student("embedded")
    tracks = dj.ask_teacher(student, frames[:6])
    adapted = dj.adapt_student(student, frames[:6], tracks, dj.Settings(lr=1e-4))
    labels = dj.segment(adapted.student, frames[6:], after=frames[5])

Nothing is loaded, JAX included, before it is used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ditta_jax.algorithm.settings import Settings
    from ditta_jax.runs.api import (
        Adapted,
        Student,
        adapt_student,
        ask_teacher,
        load_student,
        score,
        segment,
    )
    from ditta_jax.teacher.tracks import Tracks

__version__ = "0.2.0"

_WHERE = {
    "Settings": "ditta_jax.algorithm.settings",
    "Tracks": "ditta_jax.teacher.tracks",
    "Adapted": "ditta_jax.runs.api",
    "Student": "ditta_jax.runs.api",
    "adapt_student": "ditta_jax.runs.api",
    "ask_teacher": "ditta_jax.runs.api",
    "load_student": "ditta_jax.runs.api",
    "score": "ditta_jax.runs.api",
    "segment": "ditta_jax.runs.api",
}

__all__ = [
    "Adapted",
    "Settings",
    "Student",
    "Tracks",
    "adapt_student",
    "ask_teacher",
    "load_student",
    "score",
    "segment",
]


def __getattr__(name: str) -> Any:
    """A name of the package's, loaded with what it needs when it is first asked for."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_WHERE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHERE})

"""What a person should know before a run, although nothing is wrong with it."""

from collections.abc import Callable, Iterator
from typing import Any

from ditta_jax.configuration.schema import flat
from ditta_jax.ranges import METHODS

EMBEDDED = "embedded"
_DEMO = "procedural_drive"

# Settings that act only together with another one: what is missing, and whether it is there.
_TOGETHER: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "student.supervised": ("methods has no supervised", lambda c: "supervised" in c.methods),
    "profile.videos": ("profile.folder is empty", lambda c: bool(c.profile.folder)),
    "report.reference": ("report.tensorboard is False", lambda c: c.report.tensorboard),
    "parallel.ray_address": ("parallel.executor is local", lambda c: c.parallel.executor == "ray"),
    "parallel.workers": ("parallel.executor is local", lambda c: c.parallel.executor == "ray"),
    **{
        f"data.{key}": ("data.kind is not tfds", lambda c: c.data.kind == "tfds")
        for key in ("data_dir", "manual_dir")
    },
}


def notices(config: Any) -> Iterator[str]:
    """One line for each setting in vain, and for each part of the demo that meets other data.

    Args:
        config: the settings of a run.
    """
    for key, own in flat():
        reason = _in_vain(key, config)
        section, _, last = key.rpartition(".")
        if reason and config[section][last] != own.default:
            yield f"note: {key} has no effect: {reason}"
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


def _in_vain(key: str, config: Any) -> str:
    """Why a setting has no effect, whatever its value; empty where it has one."""
    section = key.partition(".")[0]
    if section in METHODS and section not in config.methods:
        return f"methods has no {section}"
    missing, there = _TOGETHER.get(key, ("", lambda config: True))
    return "" if there(config) else missing

"""Starts the teacher in a process of its own and asks it. Imports no PyTorch."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ditta_jax.errors import UserError
from ditta_jax.teacher import identity
from ditta_jax.teacher.cache import read_masklets, teacher_key
from ditta_jax.teacher.card import card_of
from ditta_jax.teacher.session import Session

_POOL_SECONDS = 5.0  # that a pool may need to put an end to a silent worker


class TeacherSettings(Protocol):
    """The section `teacher` of the configuration, as far as this module reads it."""

    config: str
    checkpoint: str
    device: str
    dtype: str
    mask_threshold: float
    patience: float
    python: str
    run: bool
    target: str
    threads: int
    workers: int


def teacher_identity(settings: TeacherSettings) -> dict[str, str]:
    """Return the identity of the configured teacher (see `ditta_jax.teacher.identity`)."""
    return identity.teacher_identity(
        settings.config,
        settings.checkpoint,
        settings.dtype,
        settings.mask_threshold,
        settings.target,
    )


class Answers(Protocol):
    """Whoever has entries answered, or knows that they are: a context manager.

    Attributes:
        all_at_once: every entry must be asked about before the first is waited for.
    """

    all_at_once: bool

    def __enter__(self) -> Answers:
        """Begin."""

    def __exit__(self, *error: object) -> None:
        """End, whatever is still open."""

    def ask(self, entry: Path) -> None:
        """Have an entry answered; returns at once."""

    def wait(self, entry: Path) -> str | None:
        """Wait for the answer; returns why there is none, None if it is there."""


def open_session(
    cache_dir: Path | str,
    settings: TeacherSettings,
    on_progress: Callable[[Mapping[str, Any]], None] = lambda event: None,
) -> Answers:
    """Return the teacher, ready to be asked; its process starts with the first question.

    Args:
        cache_dir: the cache folder.
        settings: `config.teacher`.
        on_progress: called, in another thread, with the events "ready", "begin", "video", "failed"
            and "skipped" of `python -m teacher_bridge --json` (`ditta_jax.teacher.child.EVENTS`),
            and with "loads" when its process is started.
    """
    if not settings.run or settings.checkpoint.startswith("sha256:"):
        return Elsewhere(Path(cache_dir), settings)
    patience = settings.patience + _POOL_SECONDS if settings.patience else None
    return Session(
        _command(Path(cache_dir), settings),
        _environment(settings),
        teacher_key(teacher_identity(settings)),
        patience,
        f"{settings.patience:g}",
        on_progress,
    )


class Elsewhere:
    """Answers of a teacher that may not be run here: they are there, or a person is told how."""

    all_at_once = True

    def __init__(self, cache_dir: Path, settings: TeacherSettings) -> None:
        """Take the cache folder and `config.teacher`."""
        self._cache, self._settings = cache_dir, settings
        self._key = teacher_key(teacher_identity(settings))
        self._missing = 0

    def __enter__(self) -> Elsewhere:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def ask(self, entry: Path) -> None:
        """Look for the answer."""
        self._missing += read_masklets(entry, self._key) is None

    def wait(self, entry: Path) -> str | None:
        """UserError with the command to run elsewhere if any answer is missing."""
        if self._missing:
            raise UserError(_run_elsewhere(self._cache, self._settings, self._missing))
        return None


def run_teacher(
    cache_dir: Path | str,
    settings: TeacherSettings,
    entries: Sequence[Path],
    on_progress: Callable[[Mapping[str, Any]], None] = lambda event: None,
) -> dict[str, str]:
    """Have the teacher answer those entries that have no whole masklets of it.

    One process answers all of them (`ditta_jax.teacher.session`).

    Args:
        cache_dir: the cache folder.
        settings: `config.teacher`.
        entries: entry folders, as `write_request` returns them.
        on_progress: see `open_session`.

    Returns:
        The name of each entry's folder that it could not answer, and why.

    Raises:
        UserError: the teacher failed at none of the videos in particular, with its own last line;
            or it may not be run here and answers are missing, with the command to run elsewhere.
    """
    with open_session(cache_dir, settings, on_progress) as session:
        for entry in entries:
            session.ask(entry)
        failed = {Path(entry).name: session.wait(entry) for entry in entries}
    return {name: message for name, message in failed.items() if message is not None}


def _command(cache_dir: Path, settings: TeacherSettings) -> list[str]:
    """The command line; every value follows its option by "=", whatever it begins with."""
    command = [settings.python or sys.executable, "-m", "teacher_bridge", "--json", "--listen"]
    command += [f"--cache={cache_dir}", *_teacher_arguments(settings)]
    command += [f"--device={settings.device}", f"--threads={settings.threads}"]
    return [*command, f"--workers={settings.workers}", f"--patience={settings.patience}"]


def _teacher_arguments(settings: TeacherSettings) -> list[str]:
    arguments = [f"--config={settings.config}", f"--dtype={settings.dtype}"]
    if settings.checkpoint:
        arguments.append(f"--checkpoint={settings.checkpoint}")
    if settings.mask_threshold != (card_of(settings.config).mask_threshold or 0.0):
        arguments.append(f"--mask-threshold={settings.mask_threshold!r}")
    if settings.target:
        arguments.append(f"--target={settings.target}")
    return arguments


def _run_elsewhere(cache_dir: Path, settings: TeacherSettings, missing: int) -> str:
    arguments = shlex.join(_teacher_arguments(settings))
    cache = shlex.quote(f"--cache={cache_dir}")
    digest = teacher_identity(settings)
    weights = ""
    if settings.checkpoint.startswith("sha256:"):
        arguments = arguments.replace(settings.checkpoint, "WEIGHTS")
        weights = f" where WEIGHTS is the file with SHA-256 {digest['weights']}"
    return (
        f"{missing} videos have no masklets and the teacher is not to be run here; run"
        f" `python -m teacher_bridge {cache} {arguments}`{weights}"
        " (on another machine: on a copy of the cache, then copy masklets-*.json back), then this"
        " command again"
    )


def _environment(settings: TeacherSettings) -> dict[str, str]:
    environment = dict(os.environ, TQDM_DISABLE="1", PYTHONUNBUFFERED="1")
    root = Path(__file__).resolve().parents[2]
    own_interpreter = settings.python in ("", sys.executable)
    # Run from a checkout, the packages may be on no path of the new process; but the
    # site-packages of this interpreter are not for another one.
    if own_interpreter or root.name not in ("site-packages", "dist-packages"):
        paths = [str(root), *filter(None, [environment.get("PYTHONPATH")])]
        environment["PYTHONPATH"] = os.pathsep.join(paths)
    return environment

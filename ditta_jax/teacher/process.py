"""Starts the teacher in a process of its own and listens to its progress. Imports no PyTorch."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ditta_jax.errors import UserError
from ditta_jax.teacher import identity
from ditta_jax.teacher.cache import masklets_path, read_masklets, teacher_key

_TAIL_LINES = 20
_STOP_SECONDS = 10.0


class TeacherSettings(Protocol):
    """The section `teacher` of the configuration, as far as this module reads it."""

    config: str
    checkpoint: str
    device: str
    dtype: str
    mask_threshold: float
    python: str
    run: bool
    threads: int


def teacher_identity(settings: TeacherSettings) -> dict[str, str]:
    """Returns the identity of the configured teacher (see `ditta_jax.teacher.identity`)."""
    return identity.teacher_identity(
        settings.config, settings.checkpoint, settings.dtype, settings.mask_threshold
    )


def run_teacher(
    cache_dir: Path | str,
    settings: TeacherSettings,
    entries: Sequence[Path],
    on_progress: Callable[[Mapping[str, Any]], None] = lambda event: None,
) -> None:
    """Has the teacher answer those entries that have no whole masklets of it.

    One process answers all of them: building the network takes longer than a short video. If
    nothing is missing, no process is started.

    Args:
      cache_dir: the cache folder.
      settings: `config.teacher`.
      entries: entry folders, as `write_request` returns them.
      on_progress: called with each event of `python -m teacher_bridge --json`: "start" with
        `total`; "video" with `video`, `frames`, `objects`, `seconds`, `done`, `total`;
        "failed" with `entry` and `message`.

    Raises:
      UserError: the teacher failed, with its own last line; or it may not be run here and answers
        are missing, with the command to run elsewhere.
    """
    key = teacher_key(teacher_identity(settings))
    missing = [entry for entry in entries if read_masklets(entry, key) is None]
    if not missing:
        return
    if not settings.run or settings.checkpoint.startswith("sha256:"):
        raise UserError(_run_elsewhere(Path(cache_dir), settings, len(missing)))
    status, tail = _listen(_command(Path(cache_dir), settings, missing), settings, on_progress)
    if status != 0:
        raise UserError(f"the teacher stopped: {_last_words(tail, status)}")
    for entry in missing:
        if not masklets_path(entry, key).is_file():
            raise UserError(f"{entry}: the teacher left no masklets here; was the cache changed?")


def _command(cache_dir: Path, settings: TeacherSettings, entries: Sequence[Path]) -> list[str]:
    command = [settings.python or sys.executable, "-m", "teacher_bridge", "--json"]
    command += ["--cache", str(cache_dir), *_teacher_arguments(settings)]
    command += ["--device", settings.device, "--threads", str(settings.threads)]
    for entry in entries:
        command += ["--entry", Path(entry).name]
    return command


def _teacher_arguments(settings: TeacherSettings) -> list[str]:
    arguments = ["--config", settings.config, "--dtype", settings.dtype]
    if settings.checkpoint:
        arguments += ["--checkpoint", settings.checkpoint]
    if settings.mask_threshold:
        arguments += ["--mask-threshold", repr(settings.mask_threshold)]
    return arguments


def _run_elsewhere(cache_dir: Path, settings: TeacherSettings, missing: int) -> str:
    arguments = shlex.join(_teacher_arguments(settings))
    digest = teacher_identity(settings)
    weights = ""
    if settings.checkpoint.startswith("sha256:"):
        arguments = arguments.replace(shlex.quote(settings.checkpoint), "WEIGHTS")
        weights = f" where WEIGHTS is the file with SHA-256 {digest['weights']}"
    return (
        f"{missing} videos have no masklets and the teacher is not to be run here; run"
        f" `python -m teacher_bridge --cache {shlex.quote(str(cache_dir))} {arguments}`{weights}"
        " (on another machine: on a copy of the cache, then copy masklets-*.json back), then this"
        " command again"
    )


def _listen(
    command: Sequence[str],
    settings: TeacherSettings,
    on_progress: Callable[[Mapping[str, Any]], None],
) -> tuple[int, deque[str]]:
    """Runs the command; returns its status and the last lines that were no events."""
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=_environment(settings),
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise UserError(f"teacher.python: {command[0]}: cannot be run ({error})") from None
    try:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                event = _event(line)
                if event is None:
                    tail.append(line.strip())
                else:
                    on_progress(event)
        return process.wait(), tail
    finally:
        _stop(process)


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


def _event(line: str) -> Mapping[str, Any] | None:
    if not line.startswith('{"event"'):
        return None
    try:
        return dict(json.loads(line))
    except ValueError:
        return None


def _last_words(tail: Sequence[str], status: int) -> str:
    words = [line for line in tail if line]
    errors = [line for line in words if line.startswith("error: ")]
    if errors:
        return errors[-1].removeprefix("error: ")
    return words[-1] if words else f"exit status {status} without a word"


def _stop(process: subprocess.Popen[str]) -> None:
    """Ends the process if it still runs: this one was interrupted or failed while listening."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

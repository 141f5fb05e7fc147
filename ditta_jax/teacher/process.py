"""Starts the teacher in a process of its own and listens to its progress. Imports no PyTorch."""

from __future__ import annotations

import os
import queue
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from ditta_jax.errors import UserError
from ditta_jax.teacher import identity
from ditta_jax.teacher.cache import read_masklets, teacher_key
from ditta_jax.teacher.card import card_of
from ditta_jax.teacher.child import Child, ending, new_inbox

_POOL_SECONDS = 5.0  # that a pool may need to put an end to a silent worker
_ATTEMPTS = 2  # at a video that the teacher died at, before it is given up


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
    """Returns the identity of the configured teacher (see `ditta_jax.teacher.identity`)."""
    return identity.teacher_identity(
        settings.config,
        settings.checkpoint,
        settings.dtype,
        settings.mask_threshold,
        settings.target,
    )


class _Ended(NamedTuple):
    """How one process of the teacher ended.

    Attributes:
      reason: empty if it went through all videos; else what happened.
      in_hand: name of each entry it was at, and its video's name.
      failed: name of each entry it could not answer, and the message.
      hung: it was stopped because it showed no sign of life.
    """

    reason: str
    in_hand: dict[str, str]
    failed: dict[str, str]
    hung: bool = False


def run_teacher(
    cache_dir: Path | str,
    settings: TeacherSettings,
    entries: Sequence[Path],
    on_progress: Callable[[Mapping[str, Any]], None] = lambda event: None,
) -> dict[str, str]:
    """Has the teacher answer those entries that have no whole masklets of it.

    One process answers all of them: building the network takes longer than a short video. If
    nothing is missing, no process is started. A video that the teacher fails at, dies of or hangs
    in does not keep it from the others: it is started again without.

    Args:
      cache_dir: the cache folder.
      settings: `config.teacher`.
      entries: entry folders, as `write_request` returns them.
      on_progress: called with each event of `python -m teacher_bridge --json`
        (`ditta_jax.teacher.child.EVENTS`): "start" with `total`; "begin" with `video`; "video"
        with `video`, `frames`, `objects`, `seconds`, `done`, `total`; "failed" with `entry` and
        `message`.

    Returns:
      The name of each entry's folder that it could not answer, and why.

    Raises:
      UserError: the teacher failed at none of the videos in particular, with its own last line; or
        it may not be run here and answers are missing, with the command to run elsewhere.
    """
    key = teacher_key(teacher_identity(settings))
    missing = [entry for entry in entries if read_masklets(entry, key) is None]
    if missing and (not settings.run or settings.checkpoint.startswith("sha256:")):
        raise UserError(_run_elsewhere(Path(cache_dir), settings, len(missing)))
    lost: dict[str, str] = {}
    deaths: Counter[str] = Counter()
    while missing:
        ended = _one_process(Path(cache_dir), settings, missing, on_progress)
        left = [entry for entry in missing if read_masklets(entry, key) is None]
        names = {Path(entry).name for entry in left}
        failed = {name: why for name, why in ended.failed.items() if name in names}
        for name in names & ended.in_hand.keys() - failed.keys():
            deaths[name] += 1
            if ended.hung or deaths[name] >= _ATTEMPTS:
                video = ended.in_hand[name]
                failed[name] = f"video {video!r}: the teacher stopped: {ended.reason}"
                on_progress({"event": "failed", "entry": name, "message": failed[name]})
        if left and not (failed or names & ended.in_hand.keys() or len(left) < len(missing)):
            reason = ended.reason or f"it left no masklets in {left[0]}; was the cache changed?"
            raise UserError(f"the teacher stopped: {reason}")
        lost |= failed
        missing = [entry for entry in left if Path(entry).name not in failed]
    return lost


def _command(cache_dir: Path, settings: TeacherSettings, entries: Sequence[Path]) -> list[str]:
    """The command line; every value follows its option by "=", whatever it begins with."""
    command = [settings.python or sys.executable, "-m", "teacher_bridge", "--json", "--attached"]
    command += [f"--cache={cache_dir}", *_teacher_arguments(settings)]
    command += [f"--device={settings.device}", f"--threads={settings.threads}"]
    command += [f"--workers={settings.workers}", f"--patience={settings.patience}"]
    return command + [f"--entry={Path(entry).name}" for entry in entries]


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


def _one_process(
    cache_dir: Path,
    settings: TeacherSettings,
    entries: Sequence[Path],
    on_progress: Callable[[Mapping[str, Any]], None],
) -> _Ended:
    """Runs the teacher once and listens until it has ended or shows no sign of life."""
    inbox = new_inbox()
    in_hand: dict[str, str] = {}
    failed: dict[str, str] = {}
    # Several workers are watched one by one, by the process that this one listens to.
    patience = settings.patience + _POOL_SECONDS if settings.patience else None
    with Child(_command(cache_dir, settings, entries), _environment(settings), inbox) as child:
        while True:
            try:
                _, event = inbox.get(timeout=patience)
            except queue.Empty:
                reason = f"no sign of life for {settings.patience:g} s (teacher.patience)"
                return _Ended(reason, in_hand, failed, hung=True)
            if event is None:
                break
            if event["event"] == "begin":
                in_hand[event["entry"]] = event["video"]
            elif event["event"] in ("video", "failed", "skipped", "busy"):
                in_hand.pop(event["entry"], None)
            if event["event"] == "failed":
                failed[event["entry"]] = event["message"]
            if event["event"] not in ("alive", "busy", "ready"):
                on_progress(event)
        status, words = child.wait(), child.last_words()
    if status == 0:
        return _Ended("", {}, failed)
    if status < 0:
        words = f"{ending(status)}: {words}" if words else ending(status)
    return _Ended(words or f"{ending(status)} without a word", in_hand, failed)


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

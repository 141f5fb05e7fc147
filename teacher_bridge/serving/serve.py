"""Answers the requests of a cache folder, one video after another."""

from __future__ import annotations

import platform
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from ditta_jax.errors import UserError
from ditta_jax.teacher.cache import EarlierEntry, read_entry, read_masklets, write_masklets
from teacher_bridge.serving.claims import claim
from teacher_bridge.serving.entries import unanswered
from teacher_bridge.serving.events import Event, Report
from teacher_bridge.serving.questions import Questions, listed
from teacher_bridge.serving.teachers import Teacher

_RECORDED_PACKAGES = ("rf-sam-2", "sam2", "torch", "numpy", "ditta-jax")
_ALIVE_SECONDS = 1.0  # between two signs of life, at least
_BUSY_SECONDS = 0.5  # between two looks at a video that another teacher is at


def serve(
    folders: Sequence[Path],
    teacher: Teacher,
    identity: Mapping[str, str],
    key: str,
    report: Report,
) -> list[str]:
    """Answer every entry that has no whole masklets of this teacher.

    A video that fails is reported and left; the others go on. Each answer is written as soon as
    it is there, so an interrupted run loses the current video at most. What another teacher of the
    same kind is at is left to it, and taken over if it dies.

    Returns:
        The messages of the failed ones.
    """
    waiting = unanswered(folders, key)
    questions = listed(waiting, len(folders) - len(waiting), report)
    if not waiting:
        return []
    return answer(questions, teacher, identity, key, report)


def answer(
    questions: Questions,
    teacher: Teacher,
    identity: Mapping[str, str],
    key: str,
    report: Report,
) -> list[str]:
    """Answer entries as they become known; see `serve`.

    Returns:
        The messages of the failed ones.
    """
    teacher.prepare()
    report({"event": "ready"})
    waiting: deque[Path] = deque()
    failures: list[str] = []
    total, done, busy = 0, 0, 0
    while True:
        new = questions.take(wait=not waiting)
        waiting.extend(new)
        total += len(new)
        if not waiting:
            return failures
        folder = waiting.popleft()
        event = attend(folder, teacher, identity, key, report)
        if event["event"] == "busy":
            waiting.append(folder)
            busy += 1
            if busy >= len(waiting):  # nothing else is left to do
                time.sleep(_BUSY_SECONDS)
                busy = 0
            continue
        busy, done = 0, done + 1
        report({**event, "done": done, "total": total} if event["event"] == "video" else event)
        if event["event"] == "failed":
            failures.append(event["message"])


def attend(
    folder: Path, teacher: Teacher, identity: Mapping[str, str], key: str, report: Report
) -> Event:
    """Answer one entry, or say why not; report when it begins and that it is alive.

    Returns:
        The event that tells the end: "video", "failed", "skipped" (of an earlier version of this
        program) or "busy" (another teacher is at it).
    """
    with claim(folder, key) as mine:
        if not mine:
            return {"event": "busy", "entry": folder.name}
        begin = time.perf_counter()
        try:
            entry = read_entry(folder)
            report({"event": "begin", "entry": folder.name, "video": entry.request.video})
            masklets = read_masklets(folder, key)
            if masklets is None:
                masklets = teacher.answer(entry, signs_of_life(folder, report))
                seconds = time.perf_counter() - begin
                provenance = {**_circumstances(identity, seconds), **masklets.provenance}
                write_masklets(folder, key, masklets._replace(provenance=provenance))
        except EarlierEntry as error:
            return {"event": "skipped", "entry": folder.name, "message": str(error)}
        except UserError as error:
            return {"event": "failed", "entry": folder.name, "message": str(error)}
        except Exception as error:
            if "CUDA" in str(error):
                raise  # nothing works in this process any more; whoever listens starts another
            message = f"{folder}: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
            return {"event": "failed", "entry": folder.name, "message": message}
    return {
        "event": "video",
        "entry": folder.name,
        "video": entry.request.video,
        "frames": len(masklets.frames),
        "objects": len(masklets.objects),
        "seconds": round(time.perf_counter() - begin, 3),
    }


def signs_of_life(folder: Path, report: Report) -> Callable[[int], None]:
    """Return what a teacher calls with each frame; reported now and then."""
    last = time.monotonic()

    def alive(frame: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _ALIVE_SECONDS:
            last = time.monotonic()
            report({"event": "alive", "entry": folder.name, "frame": frame})

    return alive


def _circumstances(identity: Mapping[str, str], seconds: float) -> dict[str, Any]:
    versions = {"python": platform.python_version()}
    for package in _RECORDED_PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {**identity, "versions": versions, "seconds": round(seconds, 3)}

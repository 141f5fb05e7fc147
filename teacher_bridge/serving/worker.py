"""One worker of a pool: reads names of entries, answers each, tells what came of it."""

from __future__ import annotations

import queue
from collections.abc import Mapping
from pathlib import Path

from ditta_jax.errors import UserError
from teacher_bridge.serving.entries import find_entries
from teacher_bridge.serving.events import Report
from teacher_bridge.serving.serve import attend
from teacher_bridge.serving.teachers import Teacher


def work(
    names: queue.Queue[str | None],
    cache_dir: Path,
    teacher: Teacher,
    identity: Mapping[str, str],
    key: str,
    report: Report,
) -> None:
    """Answer entries by name, one after another, until there is None.

    Args:
        names: what `lifeline.follow_parent` returns.
        cache_dir: where the entries lie.
        teacher: who answers.
        identity: its identity.
        key: the key of that.
        report: told of all events.
    """
    teacher.prepare()
    report({"event": "ready"})
    while (name := names.get()) is not None:
        try:
            (folder,) = find_entries(cache_dir, [name])
            event = attend(folder, teacher, identity, key, report)
        except UserError as error:
            event = {"event": "failed", "entry": name, "message": str(error)}
        if event["event"] == "video":
            event = {**event, "done": 0, "total": 0}  # the pool counts
        report(event)

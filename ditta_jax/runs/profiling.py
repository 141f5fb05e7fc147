"""JAX traces of chosen videos: what host and device did when, to be opened in XProf or Perfetto.

In `profile.folder`, a folder a video, and in it `A` for stage A, where it comes before the others,
and `work` for all that follows.

The programs in it carry the names of the stages and of their parts (`jax.named_scope`).
"""

import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax

from ditta_jax.errors import UserError, WriteError
from ditta_jax.files import check_writable
from ditta_jax.names import file_name
from ditta_jax.runs.work import Work

_running: list[Path] = []  # JAX keeps one trace at a time


def check(profile: Any, names: Sequence[str]) -> None:
    """Refuse traces that could not be written, or are of no video, before any work.

    Args:
        profile: the section of the configuration.
        names: of all videos.

    Raises:
        UserError: says which.
    """
    if not profile.folder:
        return
    for video in filter(None, profile.videos):
        if video not in names:
            near = difflib.get_close_matches(video, names, 1)
            hint = f"; {near[0]!r} is meant?" if near else f"; there are {len(names)} others"
            raise UserError(f"profile.videos: no video {video!r}{hint}")
    check_writable(Path(profile.folder))


@contextmanager
def traced(work: Work, videos: Sequence[str], part: str) -> Iterator[None]:
    """Trace the work on videos, if one of them is chosen and no trace is under way.

    Args:
        work: what all videos share; of these the first one is traced where none is chosen.
        videos: those that the body works on.
        part: "A" or "work".

    Raises:
        UserError: the trace cannot be written.
    """
    profile = work.config.profile
    chosen = [video for video in profile.videos if video] or work.videos.names[:1]
    own = [video for video in videos if video in chosen]
    if not profile.folder or not own or _running:
        yield
        return
    folder = Path(profile.folder) / file_name(own[0]) / part
    check_writable(folder)
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0  # every call of a Python function would hide the rest
    jax.profiler.start_trace(folder, profiler_options=options)
    _running.append(folder)
    try:
        yield
    finally:
        _running.clear()
        try:
            jax.profiler.stop_trace()
        except (OSError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise WriteError(f"{folder}: the trace cannot be written: {reason}") from error

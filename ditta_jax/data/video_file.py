"""Videos from one file, decoded by PyAV in order of presentation."""

from __future__ import annotations

from pathlib import Path

from ditta_jax.data.video import Video


def open_video_file(path: Path, fps: float = 0.0, max_frames: int = 0) -> Video:
    """Placeholder until the reader lands."""
    raise NotImplementedError

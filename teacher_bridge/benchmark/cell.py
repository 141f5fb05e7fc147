"""One cell of the benchmark, in a process of its own: one tracker, one clip, its time and memory.

python -m teacher_bridge.benchmark.cell OUT.json '{"tracker": "ours", …}'
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from ditta_jax import errors
from ditta_jax.files import write_atomically
from teacher_bridge.benchmark.clip import arrivals, clip_entry
from teacher_bridge.sam2.package_tracker import PackageTracker
from teacher_bridge.sam2.tracker import Tracker
from teacher_bridge.search.prompts import Click, FrameRuns, encode, prompt
from teacher_bridge.search.tracks import merge, track_back

OURS, PLAIN = "ours", "sam2"
_PACKAGE = "sam2.sam2_video_predictor.SAM2VideoPredictor"
_KIBIBYTE = 1024
_WARM_UP_FRAMES = 2


class Cell(NamedTuple):
    """What is measured.

    Attributes:
        tracker: "ours", or "sam2": the package's own class and the loop of its notebook.
        config: SAM 2's configuration, as `teacher.config` has it.
        checkpoint: the file of its weights.
        device: a torch device, or auto.
        dtype: float32, or bfloat16 for mixed precision.
        frames: T.
        objects: prompted in all.
        size: (H, W) of the frames.
        objects_at_once: objects in a batch; 0: the default.
    """

    tracker: str
    config: str
    checkpoint: str
    device: str
    dtype: str
    frames: int
    objects: int
    size: tuple[int, int]
    objects_at_once: int = 0


class EncodedFrames:
    """Counts the frames that a predictor encodes, by standing in for its `forward_image`."""

    def __init__(self, predictor: Any) -> None:
        """Take the predictor, whose method is replaced on this one object."""
        self.count, self._forward = 0, predictor.forward_image
        predictor.forward_image = self

    def __call__(self, image: Any) -> Any:
        """Encode and count."""
        self.count += len(image)
        return self._forward(image)


def main() -> None:
    """Measure the cell that the second word describes and write the first word's file."""
    os.environ.setdefault("TQDM_DISABLE", "1")
    out, told = sys.argv[1:]
    values = json.loads(told)
    cell = Cell(**{**values, "size": tuple(values["size"])})
    write_atomically(Path(out), json.dumps(measure(cell)).encode())


def measure(cell: Cell) -> dict[str, Any]:
    """Return a cell's figures: seconds, bytes, and the masks as run lengths.

    A first run on two frames warms up; the peak is of the whole process, libraries included.
    """
    from teacher_bridge.sam2.predictor import build_predictor, mixed_precision

    target = _PACKAGE if cell.tracker == PLAIN else ""
    predictor = build_predictor(cell.config, cell.checkpoint, cell.device, target)
    if cell.objects_at_once:
        predictor.objects_at_once = cell.objects_at_once
    encoded = EncodedFrames(predictor)
    clicks = arrivals(cell.frames, cell.objects, cell.size)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make = _maker(cell, predictor, folder)
        with mixed_precision(predictor.device, cell.dtype):
            first = [click for click in clicks if click.frame == 0]
            track(make(), first, min(cell.frames, _WARM_UP_FRAMES))
            encoded.count, before = 0, peak_bytes(predictor)
            wall, processor = time.perf_counter(), time.process_time()
            runs = track(make(), clicks, cell.frames)
    return {
        "seconds": time.perf_counter() - wall,
        "processor_seconds": time.process_time() - processor,
        "frames_encoded": encoded.count,
        "bytes_before": before,
        "peak_bytes": peak_bytes(predictor),
        "runs": runs,
    }


def _maker(cell: Cell, predictor: Any, folder: Path) -> Callable[[], Tracker]:
    """How to begin on the clip, which is written to `folder`."""
    import sam2.utils.misc as package_misc

    from teacher_bridge.sam2.holes import connected_components
    from teacher_bridge.sam2.predictor import Sam2Tracker

    entry = clip_entry(folder, cell.frames, cell.size)
    if cell.tracker == OURS:
        return partial(Sam2Tracker, predictor, entry, cell.dtype)
    # Holes are filled as with its CUDA extension, so that masks can be compared. It wants JPEG
    # names, and goes by those alone.
    package_misc.get_connected_components = connected_components
    for t, file in enumerate(entry.frame_files):
        file.rename(file.with_name(f"{t}.jpg"))
    return partial(PackageTracker, predictor, folder)


def track(tracker: Tracker, clicks: Sequence[Click], frames: int) -> list[FrameRuns]:
    """Run both passes of stage B with given prompts."""
    forward: list[FrameRuns] = []
    for t in range(frames):
        current = tracker.propagate(t) if t > 0 else None
        new = [click for click in clicks if click.frame == t]
        if new:
            tracker.reset()
            current = prompt(tracker, t, new, current)
        forward.append(encode(current) if current is not None else ())
    return merge(forward, track_back(tracker, list(clicks)))


def peak_bytes(predictor: Any) -> int:
    """Return the most memory that was held so far: the GPU's where it computes on one."""
    import torch

    if predictor.device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(predictor.device))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * _KIBIBYTE


if __name__ == "__main__":
    errors.run(main)

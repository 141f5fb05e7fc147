"""Times the tracker against the plain `sam2` package: `python -m teacher_bridge.benchmark`.

Both get the same prompts on a made-up clip: two new objects on every third frame, so the state is
reset as often as a scene with arrivals has it. Prints one JSON line for each.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from ditta_jax import errors
from ditta_jax.teacher import mask_rle
from ditta_jax.teacher.cache import Entry, Request
from ditta_jax.teacher.identity import DTYPES, EMBEDDED
from teacher_bridge.sam2.package_tracker import PackageTracker
from teacher_bridge.sam2.tracker import Tracker
from teacher_bridge.search.prompts import Click, FrameRuns, encode, prompt
from teacher_bridge.search.tracks import merge, track_back

_ARRIVALS_EVERY, _OBJECTS_PER_ARRIVAL = 3, 2


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
    """Run both trackers; the first run of each warms up on two frames."""
    options = _parse()
    os.environ.setdefault("TQDM_DISABLE", "1")
    from sam2.sam2_video_predictor import SAM2VideoPredictor

    from teacher_bridge.sam2.predictor import Sam2Tracker, build_predictor, mixed_precision

    predictor = build_predictor(options.config, options.checkpoint, options.device)
    predictor.hole_area = 0  # the plain package fills none without its CUDA extension
    if options.objects_at_once:
        predictor.objects_at_once = options.objects_at_once
    encoded = EncodedFrames(predictor)
    size, frames = (options.height, options.width), options.frames
    clicks = arrivals(frames, size)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        entry = clip_entry(folder, frames, size)
        make_ours = partial(Sam2Tracker, predictor, entry, options.dtype)
        ours = _timed("ours", make_ours, clicks, frames, encoded)
        # The plain class, on the same weights. It wants JPEG names, and goes by those alone.
        predictor.__class__ = SAM2VideoPredictor
        for t, file in enumerate(entry.frame_files):
            file.rename(file.with_name(f"{t}.jpg"))
        with mixed_precision(predictor.device, options.dtype):
            make_plain = partial(PackageTracker, predictor, folder)
            plain = _timed("sam2", make_plain, clicks, frames, encoded)
    print(json.dumps({"differing_pixels_of_all_masks": difference(ours, plain, size)}))


def arrivals(frames: int, size: tuple[int, int]) -> list[Click]:
    """Return the prompts of the benchmark: pixels drawn at random, the same every time."""
    random = np.random.default_rng(0)
    clicks: list[Click] = []
    for t in range(0, frames, _ARRIVALS_EVERY):
        for _ in range(_OBJECTS_PER_ARRIVAL):
            y, x = (int(random.integers(side)) for side in size)
            clicks.append(Click(t, len(clicks) + 1, y, x, 0, 1.0))
    return clicks


def clip_entry(folder: Path, frames: int, size: tuple[int, int]) -> Entry:
    """Write a clip of moving blocks as PNGs; return an entry without request file."""
    from PIL import Image

    files = tuple(folder / f"{t}.png" for t in range(frames))
    for t, file in enumerate(files):
        Image.fromarray(moving_blocks(t, size)).save(file)
    digests = tuple(hashlib.sha256(file.read_bytes()).hexdigest() for file in files)
    request = Request("benchmark", tuple(map(str, range(frames))), size, 1, ((),) * frames)
    return Entry(folder, "", request, files, digests)


def moving_blocks(t: int, size: tuple[int, int]) -> UInt8[np.ndarray, "H W 3"]:
    """Return frame t of a clip: coloured blocks that shift by a few pixels a frame."""
    colours = np.random.default_rng(1).integers(0, 256, (8, 12, 3), np.uint8)
    rows = (np.arange(size[0]) + t) * 8 // size[0] % 8
    columns = (np.arange(size[1]) + 3 * t) * 12 // size[1] % 12
    return colours[rows[:, None], columns[None]]


def track(tracker: Tracker, clicks: list[Click], frames: int) -> list[FrameRuns]:
    """Run both passes of stage B with given prompts."""
    forward: list[FrameRuns] = []
    for t in range(frames):
        current = tracker.propagate(t) if t > 0 else None
        new = [click for click in clicks if click.frame == t]
        if new:
            tracker.reset()
            current = prompt(tracker, t, new, current)
        forward.append(encode(current) if current is not None else ())
    return merge(forward, track_back(tracker, clicks))


def difference(ours: list[FrameRuns], plain: list[FrameRuns], size: tuple[int, int]) -> float:
    """Return the share of pixels of all masks in which two results differ."""
    shares = [
        (mask_rle.decode(a, size) != mask_rle.decode(b, size)).mean()
        for one, other in zip(ours, plain, strict=True)
        for (_, a), (_, b) in zip(one, other, strict=True)
    ]
    return float(np.mean(shares))


def _timed(
    name: str,
    make_tracker: Callable[[], Tracker],
    clicks: list[Click],
    frames: int,
    encoded: EncodedFrames,
) -> list[FrameRuns]:
    track(make_tracker(), [click for click in clicks if click.frame == 0], min(frames, 2))
    encoded.count = 0
    wall, processor = time.perf_counter(), time.process_time()
    result = track(make_tracker(), clicks, frames)
    seconds = {
        "tracker": name,
        "frames": frames,
        "objects": len(clicks),
        "seconds": round(time.perf_counter() - wall, 3),
        "processor_seconds": round(time.process_time() - processor, 3),
        "frames_encoded": encoded.count,
    }
    print(json.dumps(seconds), flush=True)
    return result


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m teacher_bridge.benchmark", description=__doc__)
    parser.add_argument("--config", default=EMBEDDED, help="as of python -m teacher_bridge")
    parser.add_argument("--checkpoint", default="")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="float32", choices=DTYPES)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--width", type=int, default=853)
    parser.add_argument("--objects-at-once", type=int, default=0, help="0: the default")
    return parser.parse_args()


if __name__ == "__main__":
    errors.run(main)

"""Which classes become objects (stage B, steps 1 to 4), and the forward pass that finds out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from ditta_jax.teacher import mask_rle
from ditta_jax.teacher.cache import Request
from teacher_bridge.sam2.tracker import FrameMasks, Tracker

_DILATIONS = 5  # with the 3x3 cross: everything within five steps left, right, up or down

FrameRuns = tuple[tuple[int, str], ...]  # (object id, run lengths) in list order


class Click(NamedTuple):
    """One prompt.

    Attributes:
        frame: frame of the prompt.
        object_id: the object it creates, 1, 2, ... in order of prompting.
        y: row.
        x: column.
        class_id: the student's class there.
        reliability: its peak reliability in the frame.
    """

    frame: int
    object_id: int
    y: int
    x: int
    class_id: int
    reliability: float


def is_covered(masks: Bool[np.ndarray, "n H W"], y: int, x: int) -> bool:
    """Say whether a pixel lies in the union of the masks, each dilated five times by the cross.

    Equal to dilating, since five dilations by the cross reach all pixels at a city-block
    distance of five; looks at the pixel's neighbourhood only.
    """
    top, left = max(y - _DILATIONS, 0), max(x - _DILATIONS, 0)
    window = masks[:, top : y + _DILATIONS + 1, left : x + _DILATIONS + 1].any(axis=0)
    rows, columns = np.nonzero(window)
    return bool((np.abs(rows + top - y) + np.abs(columns + left - x) <= _DILATIONS).any())


def choose_clicks(
    request: Request, frame: int, current: FrameMasks | None, prompted: int
) -> list[Click]:
    """Return the prompts of one frame (steps 1 and 2).

    Args:
        request: peaks, thresholds, most objects.
        frame: index of the frame.
        current: masks tracked to this frame; None where nothing is tracked yet. They count as they
            were before the frame's first prompt.
        prompted: number of objects prompted in the video so far.
    """
    clicks: list[Click] = []
    for peak in request.candidates(frame):
        object_id = prompted + len(clicks) + 1
        if object_id > request.max_objects:
            break
        if current is None or not is_covered(current.masks, peak.y, peak.x):
            clicks.append(Click(frame, object_id, peak.y, peak.x, peak.class_id, peak.reliability))
    return clicks


def search(tracker: Tracker, request: Request) -> tuple[list[Click], list[FrameRuns]]:
    """Run the forward pass: prompt every frame in turn and track to the next one.

    Returns:
        The prompts, and for each frame the masks of the objects prompted on it or before.
    """
    clicks: list[Click] = []
    frames: list[FrameRuns] = []
    for t in range(len(request.frames)):
        current = tracker.propagate(t) if clicks else None
        new = choose_clicks(request, t, current, len(clicks))
        if new:
            if t > 0:
                tracker.reset()
            current = prompt(tracker, t, new, current)
        clicks += new
        frames.append(encode(current) if current is not None else ())
    return clicks, frames


def prompt(
    tracker: Tracker, frame: int, clicks: Sequence[Click], current: FrameMasks | None
) -> FrameMasks:
    """Add a frame's new clicks and, as masks, the objects tracked so far (step 3).

    Returns:
        The masks on the frame after that: the tracker may redraw those it was given.
    """
    replay(tracker, frame, clicks, current)
    return tracker.propagate(frame)


def replay(
    tracker: Tracker, frame: int, clicks: Sequence[Click], current: FrameMasks | None
) -> None:
    """Add clicks, then tracked objects as masks, without asking for the result."""
    for click in clicks:
        tracker.click(frame, click.object_id, click.y, click.x)
    if current is not None:
        for object_id, mask in zip(current.ids, current.masks, strict=True):
            tracker.mask(frame, object_id, mask)


def encode(frame: FrameMasks, wanted: Iterable[int] | None = None) -> FrameRuns:
    """Return run lengths of a frame's masks in list order, of the `wanted` objects if given."""
    chosen = set(frame.ids if wanted is None else wanted)
    return tuple(
        (object_id, mask_rle.encode(mask))
        for object_id, mask in zip(frame.ids, frame.masks, strict=True)
        if object_id in chosen
    )

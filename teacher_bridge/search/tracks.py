"""The backward pass and the merging of both into one track per object."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from ditta_jax.teacher.cache import Masklets, Request
from teacher_bridge.sam2.tracker import FrameMasks, Tracker
from teacher_bridge.search.prompts import Click, FrameRuns, encode, replay, search


def find_masklets(
    tracker: Tracker, request: Request, provenance: Mapping[str, Any] | None = None
) -> Masklets:
    """Run stage B on one video: prompt search, backward replay, merge.

    Args:
        tracker: a tracker of the request's frames, without objects yet.
        request: what the student saw.
        provenance: what to record besides the prompts.
    """
    clicks, forward = search(tracker, request)
    backward = track_back(tracker, clicks)
    return Masklets(
        request.size,
        tuple(click.object_id for click in clicks),
        tuple(merge(forward, backward)),
        request.pixels_per_class(),
        {**(provenance or {}), "prompts": [click._asdict() for click in clicks]},
    )


def track_back(tracker: Tracker, clicks: Sequence[Click]) -> list[FrameRuns]:
    """Replay the clicks from the last prompted frame back to frame 0.

    Returns:
        For each frame before the last prompted one, the masks of the objects that are prompted
        later only, in list order.
    """
    by_frame = {t: list(c) for t, c in itertools.groupby(clicks, lambda click: click.frame)}
    last = max(by_frame, default=0)
    frames: list[FrameRuns] = [()] * last
    current: FrameMasks | None = None
    for t in range(last, -1, -1) if clicks else ():
        if current is not None:
            current = tracker.propagate(t, reverse=True)
        if t in by_frame:
            tracker.reset()
            replay(tracker, t, by_frame[t], current)
            if t > 0:  # on frame 0 every later object has its mask already
                current = tracker.propagate(t, reverse=True)
        if current is not None and t < last:
            later = (click.object_id for click in clicks if click.frame > t)
            frames[t] = encode(current, later)
    return frames


def merge(forward: Sequence[FrameRuns], backward: Sequence[FrameRuns]) -> list[FrameRuns]:
    """Join both passes: an object is tracked forward from its prompt on, backward before it.

    A frame lists the objects of the forward pass first.
    """
    return [
        ahead + behind for ahead, behind in itertools.zip_longest(forward, backward, fillvalue=())
    ]

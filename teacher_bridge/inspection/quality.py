"""How good a teacher's masks are, against a ground truth: over time, and as labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Integer

from ditta_jax.teacher.cache import Masklets

Truth = Sequence[Integer[np.ndarray, "H W"]]  # per frame, the value of every pixel


class ObjectQuality(NamedTuple):
    """One object against the region of the ground truth that it was begun in.

    Attributes:
        object_id: its id.
        start: frame it was prompted on, or is first seen on.
        value: value of the ground truth that it overlaps most there; None if it overlaps none.
        iou: by frame, where either is there.
    """

    object_id: int
    start: int
    value: int | None
    iou: dict[int, float]


class LabelQuality(NamedTuple):
    """What the masks are worth as labels, over all pixels inside masks that have a truth.

    Attributes:
        pixels: how many these are.
        purity: share that has its object's most frequent class: the best any vote can reach; None
            without any.
        as_prompted: share whose class is the one its object was prompted for; None without prompts.
    """

    pixels: int
    purity: float | None
    as_prompted: float | None


def object_quality(
    masklets: Masklets, truth: Truth, ignored: Sequence[int], starts: Mapping[int, int]
) -> list[ObjectQuality]:
    """Compare every object with one region of the ground truth.

    Args:
        masklets: the teacher's.
        truth: per frame, a value for each pixel: an object, or a class.
        ignored: values that are nothing.
        starts: frame of each object's prompt; others start where they are first seen.
    """
    masks = masks_by_object(masklets)
    return [
        _against(object_id, masks[object_id], truth, ignored, starts.get(object_id))
        for object_id in masklets.objects
        if masks[object_id]
    ]


def iou_over_time(objects: Sequence[ObjectQuality]) -> dict[int, tuple[float, int]]:
    """Return mean IoU and number of objects, by frames since the prompt (negative: before it)."""
    values: dict[int, list[float]] = defaultdict(list)
    for one in objects:
        for t, iou in one.iou.items():
            values[t - one.start].append(iou)
    return {age: (float(np.mean(v)), len(v)) for age, v in sorted(values.items())}


def label_quality(
    masklets: Masklets, truth: Truth, ignored: Sequence[int], classes: Mapping[int, int]
) -> LabelQuality:
    """Count the classes of the ground truth inside each object, over all frames.

    Args:
        masklets: the teacher's.
        truth: per frame, the class of each pixel.
        ignored: values that are no class.
        classes: class each object was prompted for.
    """
    total = pure = right = 0
    for object_id, masks in masks_by_object(masklets).items():
        inside = np.concatenate([truth[t][mask] for t, mask in masks.items()] or [np.zeros(0, int)])
        inside = inside[~np.isin(inside, ignored)]
        if inside.size:
            _, counts = np.unique(inside, return_counts=True)
            total, pure = total + inside.size, pure + int(counts.max())
            right += int((inside == classes.get(object_id, -1)).sum())
    share = right / total if classes and total else None
    return LabelQuality(total, pure / total if total else None, share)


def masks_by_object(masklets: Masklets) -> dict[int, dict[int, Bool[np.ndarray, "H W"]]]:
    """Return the masks that are not empty, by object and frame."""
    masks: dict[int, dict[int, np.ndarray]] = {object_id: {} for object_id in masklets.objects}
    for t in range(len(masklets.frames)):
        for object_id, mask in zip(*masklets.decode(t), strict=True):
            if mask.any():
                masks[int(object_id)][t] = mask
    return masks


def _against(
    object_id: int,
    masks: Mapping[int, np.ndarray],
    truth: Truth,
    ignored: Sequence[int],
    start: int | None,
) -> ObjectQuality:
    first = start if start is not None and start in masks else min(masks)
    values, counts = np.unique(truth[first][masks[first]], return_counts=True)
    known = {int(v): int(n) for v, n in zip(values, counts, strict=True) if v not in ignored}
    begin = first if start is None else start
    if not known:
        return ObjectQuality(object_id, begin, None, dict.fromkeys(masks, 0.0))
    value = max(known, key=lambda v: known[v])
    iou = {}
    for t, labels in enumerate(truth):
        region = labels == value
        mask = masks.get(t, np.zeros_like(region))
        union = int((mask | region).sum())
        if union:
            iou[t] = int((mask & region).sum()) / union
    return ObjectQuality(object_id, begin, value, iou)

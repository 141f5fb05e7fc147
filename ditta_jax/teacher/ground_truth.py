"""The ground truth in the teacher's place: what perfect masks would give.

`teacher.config = "ground-truth"` (labelled videos only). An object is a connected region of one
class, followed from frame to frame by overlap. The student still votes on what it is (Eq. 4).
"""

from typing import Protocol

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

from ditta_jax.errors import UserError
from ditta_jax.labels import IGNORE
from ditta_jax.teacher import mask_rle
from ditta_jax.teacher.records import Masklets, Request

NAME = "ground-truth"
SMALLEST = 16  # pixels; specks are no objects


class Labels(Protocol):
    """Label maps by frame, None where a frame has none."""

    def __getitem__(self, index: int) -> UInt8[np.ndarray, "H W"] | None: ...  # noqa: D105


def ground_truth_masklets(labels: Labels | None, request: Request) -> Masklets:
    """Regions of the ground truth of a request's frames as tracked objects without names.

    Args:
        labels: of the video, class indices, 255 ignored; None where it has none.
        request: what a teacher would be asked.

    Raises:
        UserError: the video has no labels.
    """
    if labels is None:
        raise UserError(f"{request.video}: teacher.config {NAME!r} needs labels, and it has none")
    frames = []
    previous: dict[int, tuple[int, Bool[np.ndarray, "H W"]]] = {}
    objects = 0
    for t in range(len(request.frames)):
        current = {}
        label = labels[t]
        if label is None:
            raise UserError(
                f"{request.video}: teacher.config {NAME!r} needs labels on every frame it"
                f" stands in for; {request.frames[t]} has none"
            )
        for class_id, region in regions(label):
            followed = _most_overlapping(class_id, region, previous)
            if followed is None or followed in current:
                followed = objects = objects + 1
            current[followed] = (class_id, region)
        frames.append(tuple((i, mask_rle.encode(region)) for i, (_, region) in current.items()))
        previous = current
    ids = tuple(range(1, objects + 1))
    return Masklets(request.size, ids, tuple(frames), request.pixels_per_class(), {"teacher": NAME})


def regions(label: UInt8[np.ndarray, "H W"]) -> list[tuple[int, Bool[np.ndarray, "H W"]]]:
    """Class and mask of every connected region, the largest of each class first."""
    found = []
    for class_id in np.unique(label[label != IGNORE]):
        count, parts = cv2.connectedComponents((label == class_id).astype(np.uint8))
        masks = [parts == part for part in range(1, count)]
        masks = [mask for mask in masks if mask.sum() >= SMALLEST]
        found += [(int(class_id), mask) for mask in sorted(masks, key=np.sum, reverse=True)]
    return found


def _most_overlapping(class_id, region, previous) -> int | None:
    """The object of the same class whose last mask shares most pixels with the region."""
    shared = {i: int((region & mask).sum()) for i, (c, mask) in previous.items() if c == class_id}
    best = max(shared, key=lambda i: shared[i], default=None)
    return best if best is not None and shared[best] > 0 else None

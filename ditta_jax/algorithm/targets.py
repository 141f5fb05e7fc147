"""Vote and labels (Eq. 4, 5): from overlapping masks and the student's labels to training targets.

Everything is numpy on the host: masks are decoded one frame at a time, so memory does not grow
with the length of the video.
"""

from typing import NamedTuple, Protocol

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from ditta_jax.labels import IGNORE


class MaskSource(Protocol):
    """Tracked masks of a video; `ditta_jax.teacher.records.Masklets` is one."""

    @property
    def objects(self) -> tuple[int, ...]:
        """Ids of all objects, each at least 1."""

    def decode(self, t: int) -> tuple[Int[np.ndarray, "n"], Bool[np.ndarray, "n H W"]]:
        """Ids and masks of frame t, in the frame's list order; masks may overlap."""


class Vote(NamedTuple):
    """Which class each object is.

    Attributes:
        score: score(o, c) of Eq. 4 at row o - 1, at least 0; a row of zeros has no class.
        object_class: class with the highest score (lowest class of equals), 255 for a zero row.
        object_score: that highest score.
    """

    score: Float[np.ndarray, "O C"]
    object_class: Int[np.ndarray, "O"]
    object_score: Float[np.ndarray, "O"]


class FrameTarget(NamedTuple):
    """What the student learns from on one frame.

    Attributes:
        label: class per pixel, for the two distillation terms.
        object_ids: object per pixel, 0 = none, for the contrastive term. Objects without a class
            are in it.
    """

    label: UInt8[np.ndarray, "H W"]
    object_ids: UInt8[np.ndarray, "H W"] | Int[np.ndarray, "H W"]


def vote(
    masklets: MaskSource,
    labels: UInt8[np.ndarray, "T H W"],
    reliability: Float[np.ndarray, "T H W"],
    num_classes: int,
    pixels_per_class: Int[np.ndarray, "C"],
    area_power: float = 0.3,
    frequency_power: float = 0.8,
) -> Vote:
    """Score every class for every object over all warm-up frames (Eq. 4).

    Args:
        masklets: the objects' masks.
        labels: the frozen student's labels, 0 to C-1.
        reliability: their reliability, 0 to 1.
        num_classes: C.
        pixels_per_class: N(c), pixels of each class on the warm-up frames.
        area_power: exponent of the class's share of the object's pixels.
        frequency_power: exponent of the share of the video's pixels that are not of the class.

    Raises:
        ValueError: a label is not below C.
    """
    if labels.size and labels.max() >= num_classes:
        raise ValueError(f"label {labels.max()} where there are {num_classes} classes")
    rows = max(masklets.objects, default=0)
    pixels = np.zeros((rows, num_classes), np.int64)
    reliability_sum = np.zeros((rows, num_classes), np.float64)
    for t in range(len(labels)):
        label, weight = labels[t].ravel(), reliability[t].ravel()
        for object_id, mask in zip(*masklets.decode(t), strict=True):
            inside = np.flatnonzero(mask)
            found = label[inside]
            pixels[object_id - 1] += np.bincount(found, minlength=num_classes)
            reliability_sum[object_id - 1] += np.bincount(found, weight[inside], num_classes)
    score = _score(pixels, reliability_sum, pixels_per_class, area_power, frequency_power)
    return vote_from_scores(score)


def _score(pixels, reliability_sum, pixels_per_class, area_power, frequency_power):
    """Eq. 4 from n(o,c), the sum of reliabilities and N(c); 0 where the object lacks the class."""
    mean_reliability = reliability_sum / np.maximum(pixels, 1)
    area_share = pixels / np.maximum(pixels.sum(axis=1, keepdims=True), 1)
    class_share = pixels_per_class / max(np.sum(pixels_per_class), 1)
    score = mean_reliability * area_share**area_power * (1 - class_share) ** frequency_power
    return np.where(pixels > 0, score, 0.0)  # 0**0 is 1, but a class without pixels scores 0


def vote_from_scores(score: Float[np.ndarray, "O C"]) -> Vote:
    """The vote that given scores lead to; an all-zero row is ignored.

    Args:
        score: row o - 1 belongs to object o.
    """
    object_score = score.max(axis=1, initial=0.0)
    object_class = np.where(object_score > 0, np.argmax(score, axis=1), IGNORE)
    return Vote(score, object_class, object_score)


def target(
    masks_of_frame: tuple[Int[np.ndarray, "n"], Bool[np.ndarray, "n H W"]],
    vote: Vote,
    student_label: UInt8[np.ndarray, "H W"],
) -> FrameTarget | None:
    """Label and object of every pixel of one frame (Eq. 5); None if no object is on the frame.

    Args:
        masks_of_frame: ids and masks in list order: of overlapping objects the one with the
            higher score wins, of equal ones the later in the list.
        vote: result of `vote`.
        student_label: the frozen student's labels.
    """
    ids, masks = masks_of_frame
    if len(ids) == 0:
        return None
    object_ids = np.zeros(student_label.shape, np.uint8 if len(vote.score) < 256 else np.int32)
    # Painting in rising order of score leaves the winner on top; the stable sort keeps the order
    # of the list among equals.
    for i in np.argsort(vote.object_score[np.asarray(ids) - 1], kind="stable"):
        object_ids[masks[i]] = ids[i]
    return FrameTarget(_label(object_ids, vote.object_class, student_label), object_ids)


def labels_from_ids(
    object_ids: UInt8[np.ndarray, "H W"] | Int[np.ndarray, "H W"],
    score: Float[np.ndarray, "O C"],
    student_label: UInt8[np.ndarray, "H W"],
) -> UInt8[np.ndarray, "H W"]:
    """The label map that belongs to a map of object ids (Eq. 5).

    Args:
        object_ids: object per pixel, 0 = none.
        score: row o - 1 belongs to object o.
        student_label: the frozen student's labels.
    """
    return _label(object_ids, vote_from_scores(score).object_class, student_label)


def _label(object_ids, object_class, student_label):
    """The object's class inside objects that have one, the student's label everywhere else.

    "Everywhere else" includes the inside of ignored objects, as in the released program: the
    reference losses come out only so.
    """
    class_of_id = np.concatenate([[IGNORE], object_class]).astype(np.uint8)
    label = class_of_id[object_ids]
    return np.where(label == IGNORE, student_label, label)

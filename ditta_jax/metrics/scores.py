"""Scores of predictions against ground truth: mIoU, wIoU and video consistency (mVC).

`VideoScores` reads one video frame by frame, holding two frames and two maps of run lengths
whatever the video's length. `Scores` are its sums; sums of videos add up to those of the split.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from ditta_jax.labels import IGNORE

WINDOWS = (8, 16)


class Scores(NamedTuple):
    """Sums from which every score follows; `a + b` are the sums of both.

    Attributes:
        confusion: pixels by ground truth (row) and prediction (column), ignored pixels left out.
        windows: lengths n of the windows of mVC_n, frames.
        consistency_sum: per length, the sum of the windows' consistent fractions.
        window_count: per length, the windows that had a pixel of constant ground truth.
    """

    confusion: Int[np.ndarray, "C C"]
    windows: tuple[int, ...]
    consistency_sum: Float[np.ndarray, "n"]
    window_count: Int[np.ndarray, "n"]

    def __add__(self, other: Any) -> "Scores":
        """The scores of both sets of videos together."""
        if self.windows != other.windows or len(self.confusion) != len(other.confusion):
            raise ValueError("scores of different classes or windows do not add up")
        return Scores(
            self.confusion + other.confusion,
            self.windows,
            self.consistency_sum + other.consistency_sum,
            self.window_count + other.window_count,
        )

    def result(self) -> dict[str, float]:
        """MIoU, wIoU and mVC_n for each window length, as fractions; NaN where undefined."""
        iou, pixels = self.class_iou(), self.confusion.sum(axis=1)
        present = pixels > 0
        scores = {"mIoU": math.nan, "wIoU": math.nan}
        if present.any():
            scores["mIoU"] = float(iou[present].mean())
            scores["wIoU"] = float((iou * pixels)[present].sum() / pixels.sum())
        for n, total, count in zip(
            self.windows, self.consistency_sum, self.window_count, strict=True
        ):
            scores[f"mVC{n}"] = float(total / count) if count else math.nan
        return scores

    def class_iou(self) -> Float[np.ndarray, "C"]:
        """Intersection over union per class, a fraction; NaN for classes not in the truth."""
        truth, predicted = self.confusion.sum(axis=1), self.confusion.sum(axis=0)
        both = np.diagonal(self.confusion)
        union = truth + predicted - both
        return np.where(truth > 0, both / np.maximum(union, 1), np.nan)

    def to_json(self) -> dict[str, Any]:
        """The sums as plain numbers; `from_json` gives back the same bits."""
        return {
            "confusion": self.confusion.tolist(),
            "windows": list(self.windows),
            "consistency_sum": self.consistency_sum.tolist(),
            "window_count": self.window_count.tolist(),
        }

    @staticmethod
    def from_json(data: dict[str, Any]) -> "Scores":
        """The inverse of `to_json`."""
        return Scores(
            np.array(data["confusion"], np.int64),
            tuple(data["windows"]),
            np.array(data["consistency_sum"], np.float64),
            np.array(data["window_count"], np.int64),
        )


def no_scores(num_classes: int, windows: Sequence[int] = WINDOWS) -> Scores:
    """The scores of no video, to start a sum with."""
    shape = len(windows)
    return Scores(
        np.zeros((num_classes, num_classes), np.int64),
        tuple(windows),
        np.zeros(shape, np.float64),
        np.zeros(shape, np.int64),
    )


class FrameCounts(NamedTuple):
    """What a frame adds to the scores of its video, in pixels.

    Attributes:
        confusion: by ground truth (row) and prediction (column), ignored pixels left out.
        still: per window length n, pixels whose ground truth was the same for n frames.
        steady: per window length, of these, those whose prediction was too.
    """

    confusion: Int[np.ndarray, "C C"]
    still: Int[np.ndarray, "n"]
    steady: Int[np.ndarray, "n"]


class VideoScores:
    """Streaming scores of one video: `update` per frame in order, then `finish`.

    mVC_n needs no second look at past frames: a pixel is equal over the n frames that end at t
    iff its run of equal values at t is at least n long.
    """

    def __init__(
        self,
        num_classes: int,
        windows: Sequence[int] = WINDOWS,
        table: UInt8[np.ndarray, "P"] | None = None,
    ) -> None:
        """Start to score a video.

        Args:
            num_classes: C of the ground truth.
            windows: lengths n of mVC_n.
            table: the ground truth's class of each predicted one, C where it has no counterpart;
                the scores then have C + 1 classes. None: they are the same.
        """
        if not all(isinstance(n, int) and n > 0 for n in windows):
            raise ValueError(f"windows must be positive lengths in frames, not {windows!r}")
        self._table = table
        self._scores = no_scores(num_classes + (table is not None), windows)
        self._longest = max(windows, default=1)
        self._truth_run: _Runs | None = None
        self._predicted_run: _Runs | None = None
        self._pending: list[float | None] = [None] * len(windows)
        self._gaps = False  # whether a frame had no labels

    def update(
        self, prediction: UInt8[np.ndarray, "H W"], label: UInt8[np.ndarray, "H W"] | None
    ) -> None:
        """Count the next frame.

        Args:
            prediction: class per pixel, 0 to C-1.
            label: ground truth, 255 = ignore. All 255 where a video has none: it then counts for
                the consistency only. None: this frame is not labelled; the video then has no mVC,
                which compares the ground truth of consecutive frames.

        Raises:
            ValueError: the shapes differ, or a class is not below C.
        """
        if label is None:
            self.add(None)
            return
        if prediction.shape != label.shape:
            raise ValueError(f"prediction is {prediction.shape}, label is {label.shape}")
        if self._table is not None:
            prediction = self._table[prediction]
        confusion = _confusion(prediction, label, len(self._confusion))
        if self._truth_run is None or self._predicted_run is None:
            self._truth_run = _Runs(label, self._longest)
            self._predicted_run = _Runs(prediction, self._longest)
        else:
            self._truth_run.update(label)
            self._predicted_run.update(prediction)
        self.add(FrameCounts(confusion, *self._still_and_steady()))

    def add(self, counts: FrameCounts | None) -> None:
        """Count the next frame, whose pixels are counted already (`counts.count_frames`).

        Args:
            counts: of the frame; None: it is not labelled, as in `update`.
        """
        if counts is None:
            self._gaps = True
            return
        self._scores = self._scores._replace(confusion=self._scores.confusion + counts.confusion)
        # A window counts only once a frame follows it: the last possible one is left out.
        for i, fraction in enumerate(self._pending):
            if fraction is not None:
                self._scores.consistency_sum[i] += fraction
                self._scores.window_count[i] += 1
        self._pending = [
            _fraction(int(still), int(steady))
            for still, steady in zip(counts.still, counts.steady, strict=True)
        ]

    def finish(self) -> Scores:
        """The scores of the frames counted so far."""
        if not self._gaps:
            return self._scores
        none = no_scores(len(self._confusion), self._scores.windows)
        return none._replace(confusion=self._confusion)

    @property
    def _confusion(self) -> Int[np.ndarray, "C C"]:
        return self._scores.confusion

    def _still_and_steady(self) -> tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n"]]:
        """The counts of `FrameCounts` for the windows that end here."""
        assert self._truth_run is not None and self._predicted_run is not None
        pairs = []
        for n in self._scores.windows:
            constant = self._truth_run.length >= n
            both = constant & (self._predicted_run.length >= n)
            pairs.append((np.count_nonzero(constant), np.count_nonzero(both)))
        still, steady = np.array(pairs, np.int64).reshape(-1, 2).T
        return still, steady


def _fraction(still: int, steady: int) -> float | None:
    """Consistent share of a window; None if no pixel's truth is constant."""
    return steady / still if still else None


class _Runs:
    """For how many frames up to the current one each pixel has had its value, up to a limit."""

    def __init__(self, frame: UInt8[np.ndarray, "H W"], limit: int) -> None:
        self.length = np.ones(frame.shape, np.int32)
        self._frame = frame.copy()
        self._limit = limit

    def update(self, frame: UInt8[np.ndarray, "H W"]) -> None:
        self.length *= frame == self._frame
        self.length += 1
        np.minimum(self.length, self._limit, out=self.length)
        self._frame = frame.copy()


def check_classes(name: str, values: UInt8[np.ndarray, "..."], num_classes: int) -> None:
    """Refuse classes that do not exist.

    Raises:
        ValueError: a value is not below `num_classes`.
    """
    if values.size and values.max() >= num_classes:
        raise ValueError(f"{name} {values.max()} where there are {num_classes} classes")


def _confusion(prediction, label, num_classes):
    """Pixels by ground truth (row) and prediction (column); Int64[C, C]."""
    valid = label != IGNORE
    truth, predicted = label[valid].astype(np.int64), prediction[valid]
    check_classes("label", truth, num_classes)
    check_classes("prediction", predicted, num_classes)
    pairs = np.bincount(truth * num_classes + predicted, minlength=num_classes**2)
    return pairs.reshape(num_classes, num_classes)

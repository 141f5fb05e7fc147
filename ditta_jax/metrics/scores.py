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
            self._gaps = True
            return
        if prediction.shape != label.shape:
            raise ValueError(f"prediction is {prediction.shape}, label is {label.shape}")
        if self._table is not None:
            prediction = self._table[prediction]
        self._scores = self._scores._replace(
            confusion=self._scores.confusion + _confusion(prediction, label, len(self._confusion))
        )
        # A window counts only once a frame follows it: the last possible one is left out.
        for i, fraction in enumerate(self._pending):
            if fraction is not None:
                self._scores.consistency_sum[i] += fraction
                self._scores.window_count[i] += 1
        if self._truth_run is None or self._predicted_run is None:
            self._truth_run = _Runs(label, self._longest)
            self._predicted_run = _Runs(prediction, self._longest)
        else:
            self._truth_run.update(label)
            self._predicted_run.update(prediction)
        self._pending = [self._fraction(n) for n in self._scores.windows]

    def finish(self) -> Scores:
        """The scores of the frames counted so far."""
        if not self._gaps:
            return self._scores
        none = no_scores(len(self._confusion), self._scores.windows)
        return none._replace(confusion=self._confusion)

    @property
    def _confusion(self) -> Int[np.ndarray, "C C"]:
        return self._scores.confusion

    def _fraction(self, n: int) -> float | None:
        """Consistent share of the window that ends here; None if no pixel's truth is constant."""
        assert self._truth_run is not None and self._predicted_run is not None
        constant = self._truth_run.length >= n
        total = np.count_nonzero(constant)
        if total == 0:
            return None
        return np.count_nonzero(constant & (self._predicted_run.length >= n)) / total


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


def _confusion(prediction, label, num_classes):
    """Pixels by ground truth (row) and prediction (column); Int64[C, C]."""
    valid = label != IGNORE
    truth, predicted = label[valid].astype(np.int64), prediction[valid]
    for name, values in (("label", truth), ("prediction", predicted)):
        if values.size and values.max() >= num_classes:
            raise ValueError(f"{name} {values.max()} where there are {num_classes} classes")
    pairs = np.bincount(truth * num_classes + predicted, minlength=num_classes**2)
    return pairs.reshape(num_classes, num_classes)

"""Scores of single frames: what goes up and down within a video."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import UInt8

from ditta_jax.labels import IGNORE
from ditta_jax.metrics.scores import VideoScores

DIGITS = 5  # kept of a share: a hundredth of a thousandth


class FrameCurves:
    """Per frame and method: mIoU, and flicker, the share of pixels that change without cause.

    Flicker counts pixels whose label differs from the frame before while their ground truth does
    not; without a ground truth every change counts. None where nothing can be counted.

    Args:
        num_classes: C.
    """

    def __init__(self, num_classes: int) -> None:
        self._num_classes = num_classes
        self._before: dict[str, UInt8[np.ndarray, "H W"]] = {}
        self._truth_before: UInt8[np.ndarray, "H W"] | None = None
        self._miou: dict[str, list[float | None]] = {}
        self._flicker: dict[str, list[float | None]] = {}

    def update(
        self,
        labels: Mapping[str, UInt8[np.ndarray, "H W"]],
        truth: UInt8[np.ndarray, "H W"] | None,
    ) -> None:
        """Count the next frame: each method's labels, and the ground truth where there is one."""
        for method, label in labels.items():
            self._miou.setdefault(method, []).append(self._miou_of(label, truth))
            self._flicker.setdefault(method, []).append(self._flicker_of(method, label, truth))
            self._before[method] = label.copy()
        self._truth_before = None if truth is None else truth.copy()

    def to_json(self) -> dict[str, dict[str, list[float | None]]]:
        """The curves: name, method, one value a frame."""
        return {"mIoU": dict(self._miou), "flicker": dict(self._flicker)}

    def _miou_of(self, label, truth) -> float | None:
        if truth is None or (truth == IGNORE).all():
            return None
        frame = VideoScores(self._num_classes, windows=())
        frame.update(label, truth)
        return round(frame.finish().result()["mIoU"], DIGITS)

    def _flicker_of(self, method: str, label, truth) -> float | None:
        before = self._before.get(method)
        if before is None:
            return None
        if truth is None or self._truth_before is None:
            return round(float((label != before).mean()), DIGITS)
        still = (truth == self._truth_before) & (truth != IGNORE)
        if not still.any():
            return None
        return round(float((label != before)[still].mean()), DIGITS)

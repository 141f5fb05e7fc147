"""Runs a SAM 2 video predictor over frames held in memory, for evaluation."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

JPEG_QUALITY = 95
# Without its CUDA extension `sam2` warns, and leaves holes of up to 8 pixels in masks.
NO_HOLE_FILLING = r"(?s).*Skipping the post-processing step"


@torch.inference_mode()
def track(
    predictor: torch.nn.Module,
    frames: NDArray[np.uint8],
    clicks: dict[int, tuple[int, int]] | None = None,
    masks: dict[int, NDArray[np.bool_]] | None = None,
) -> dict[int, NDArray[np.bool_]]:
    """Prompt objects in frame 0 and return their masks, object id -> bool [T, H, W].

    Args:
        predictor: a `SAM2VideoPredictor`.
        frames: uint8 [T, H, W, 3] RGB; passed as JPEG, which is what the predictor reads.
        clicks: one positive click (x, y) an object.
        masks: bool [H, W] an object.
    """
    with tempfile.TemporaryDirectory() as folder:
        _write_frames(frames, Path(folder))
        state = predictor.init_state(folder)
    names = [*(clicks or {}), *(masks or {})]
    found = {name: np.zeros(frames.shape[:3], bool) for name in names}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", NO_HOLE_FILLING, UserWarning)
        for name, (x, y) in (clicks or {}).items():
            points, labels = np.array([[x, y]], np.float32), np.array([1], np.int32)
            predictor.add_new_points_or_box(state, 0, name, points=points, labels=labels)
        for name, mask in (masks or {}).items():
            predictor.add_new_mask(state, 0, name, mask)
        for t, ids, logits in predictor.propagate_in_video(state):
            for name, mask in zip(ids, (logits[:, 0] > 0).cpu().numpy(), strict=True):
                found[name][t] = mask
    return found


def _write_frames(frames: NDArray[np.uint8], folder: Path) -> None:
    for t, frame in enumerate(frames):
        path = str(folder / f"{t:05d}.jpg")
        cv2.imwrite(path, frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])


def overlap(predicted: NDArray[np.bool_], actual: NDArray[np.bool_]) -> float:
    """Intersection over union of two masks; 1 where both are empty."""
    union = int((predicted | actual).sum())
    return int((predicted & actual).sum()) / union if union else 1.0

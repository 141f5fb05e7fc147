"""Any predictor with the interface of `sam2`'s, driven as its notebook does: slow, but public.

For forks of SAM 2 (`--target`), whose inner workings may differ from what `video_predictor` speeds
up, and for the comparison with the plain package.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from ditta_jax.errors import UserError
from ditta_jax.teacher.cache import Entry
from teacher_bridge.sam2.tracker import FrameMasks


class PackageTracker:
    """The `sam2` package as its notebook uses it: reset, prompt, propagate by one frame."""

    def __init__(self, predictor: Any, folder: Path, mask_threshold: float = 0.0) -> None:
        """Take a predictor, a folder of frames named 0.jpg, 1.jpg, ..., and a logit."""
        self._predictor, self._mask_threshold = predictor, mask_threshold
        self._state = predictor.init_state(str(folder), offload_video_to_cpu=True)
        self._prompted: int | None = None

    def reset(self) -> None:
        """Forget all objects, and the features of all frames but the last."""
        self._predictor.reset_state(self._state)

    def click(self, frame: int, object_id: int, y: int, x: int) -> None:
        """Add an object by a positive click."""
        self._predictor.add_new_points_or_box(
            self._state, frame, object_id, points=[[float(x), float(y)]], labels=[1]
        )
        self._prompted = frame

    def mask(self, frame: int, object_id: int, mask: Bool[np.ndarray, "H W"]) -> None:
        """Add an object by its mask."""
        self._predictor.add_new_mask(self._state, frame, object_id, mask)
        self._prompted = frame

    def propagate(self, frame: int, *, reverse: bool = False) -> FrameMasks:
        """Return the masks on a frame, starting from the frame before unless it is prompted."""
        start = frame if self._prompted == frame else frame + (1 if reverse else -1)
        self._prompted = None
        for found, ids, logits in self._predictor.propagate_in_video(
            self._state, start_frame_idx=start, max_frame_num_to_track=1, reverse=reverse
        ):
            if found == frame:
                return FrameMasks(tuple(ids), (logits[:, 0] > self._mask_threshold).cpu().numpy())
        raise ValueError(f"frame {frame} was not visited")


def lay_out_frames(entry: Entry, folder: Path) -> None:
    """Put an entry's frames into a folder under the names that `sam2` wants: 0.jpg, 1.jpg, ...

    It goes by the names alone: what is in the files may be PNG. UserError naming a changed frame.
    """
    for t, (file, digest) in enumerate(zip(entry.frame_files, entry.frame_digests, strict=True)):
        target = folder / f"{t}.jpg"
        try:
            os.link(file, target)
        except OSError:  # another file system
            shutil.copyfile(file, target)
        if hashlib.sha256(target.read_bytes()).hexdigest() != digest:
            raise UserError(f"{file}: not the frame of the request; run the student again")

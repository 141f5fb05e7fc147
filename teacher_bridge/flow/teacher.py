"""The `flow` teacher: the prompt search on a tracker without weights."""

from __future__ import annotations

import hashlib

import cv2
import numpy as np
from jaxtyping import UInt8

from ditta_jax.errors import UserError
from ditta_jax.files import read_regular
from ditta_jax.teacher.cache import Entry, Masklets
from ditta_jax.teacher.frame_files import MOST_BYTES
from teacher_bridge.flow.tracker import FlowTracker
from teacher_bridge.search.tracks import find_masklets
from teacher_bridge.serving.teachers import Alive, Watched

_SMALLEST_SIDE = 32  # pixels; DIS works on patches of 8 at a quarter of the resolution


class FlowTeacher:
    """Regions around the clicks, carried along by optical flow."""

    def prepare(self) -> None:
        """Do nothing: there is nothing to load."""

    def answer(self, entry: Entry, alive: Alive) -> Masklets:
        """Return the masklets that the prompt search finds."""
        if min(entry.request.size) < _SMALLEST_SIDE:
            raise UserError(
                f"{entry.folder}: frames of {entry.request.size} are too small for optical flow,"
                f" which needs {_SMALLEST_SIDE} pixels a side"
            )
        tracker = Watched(FlowTracker(lambda t: read_frame(entry, t)), alive)
        return find_masklets(tracker, entry.request, {"opencv": cv2.__version__})


def read_frame(entry: Entry, t: int) -> UInt8[np.ndarray, "H W 3"]:
    """Decode one frame of an entry, RGB; UserError naming it if it is not the request's."""
    path = entry.frame_files[t]
    try:
        data = read_regular(path, MOST_BYTES)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: unreadable frame ({error})") from None
    if hashlib.sha256(data).hexdigest() != entry.frame_digests[t]:
        raise UserError(f"{path}: not the frame of the request; run the student again")
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if image is None or image.shape[:2] != tuple(entry.request.size):
        raise UserError(f"{path}: unreadable, or not of the size {entry.request.size}")
    return np.ascontiguousarray(image[..., ::-1])

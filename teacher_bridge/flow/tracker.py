"""A tracker without weights: a region around the click, carried along by dense optical flow.

Flow is DIS (Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016) in OpenCV's
implementation. A pixel is carried only where flow there and back ends where it began (Sundaram et
al., "Dense point trajectories by GPU-accelerated large displacement optical flow", ECCV 2010,
their criterion and constants); what is hidden or new stays without object.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from teacher_bridge.sam2.tracker import FrameMasks

# |w + w'|^2 < 0.01 (|w|^2 + |w'|^2) + 0.5, with w there and w' back, in pixels.
_RELATIVE, _ABSOLUTE = 0.01, 0.5
# A click's region: as far as the colour, smoothed, stays this close to its neighbour's (Lab).
# Chosen on six frames of a CamVid clip, clicks at the true classes' middles: with 1 (2, 3) and
# regions of at most a quarter of the frame, 95 % (81 %, 92 %) of the pixels in masks have their
# object's most frequent class.
_COLOUR_STEP = 1
_LOOKED_AT = 320  # pixels: the longer side of the picture that the region is found in
_SMOOTHING = (6, 20)  # radius in pixels, and in colour, of the mean shift there
_LARGEST = 0.25  # of the frame: more than that has leaked
_SMALLEST = 16  # pixels: less is noise

Image = UInt8[np.ndarray, "H W 3"]
Mask = Bool[np.ndarray, "H W"]


class FlowTracker:
    """A `Tracker` of regions in the frames of one video."""

    def __init__(self, frame: Callable[[int], Image]) -> None:
        """Take a function that returns a frame, RGB."""
        self._frame = lru_cache(maxsize=2)(frame)
        self._masks: dict[int, Mask] = {}
        self._at: int | None = None

    def reset(self) -> None:
        """Forget all objects."""
        self._masks, self._at = {}, None

    def click(self, frame: int, object_id: int, y: int, x: int) -> None:
        """Add the region of like colour around a pixel."""
        self._masks[object_id], self._at = region_at(self._frame(frame), y, x), frame

    def mask(self, frame: int, object_id: int, mask: Mask) -> None:
        """Add an object by its mask."""
        self._masks[object_id], self._at = mask.copy(), frame

    def propagate(self, frame: int, *, reverse: bool = False) -> FrameMasks:
        """Return the masks on a frame, carried there from the one before (`reverse`: after)."""
        if self._at is None:
            raise ValueError("nothing is tracked")
        if frame != self._at:
            if frame != self._at + (-1 if reverse else 1):
                raise ValueError(f"frame {frame} asked for, {self._at} is the last")
            source = sources(self._frame(self._at), self._frame(frame))
            self._masks = {i: carried(mask, *source) for i, mask in self._masks.items()}
            self._at = frame
        shape = self._frame(frame).shape[:2]
        masks = np.array([*self._masks.values()], bool).reshape(len(self._masks), *shape)
        return FrameMasks(tuple(self._masks), masks)


def region_at(frame: Image, y: int, x: int) -> Mask:
    """Return the region of like colour around a pixel; a disc where that would leak."""
    height, width = frame.shape[:2]
    scale = min(1.0, _LOOKED_AT / max(height, width))
    small = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(cv2.pyrMeanShiftFiltering(small, *_SMOOTHING), cv2.COLOR_RGB2LAB)
    filled = np.zeros((small.shape[0] + 2, small.shape[1] + 2), np.uint8)
    step, how = (_COLOUR_STEP,) * 3, 4 | cv2.FLOODFILL_MASK_ONLY | (1 << 8)
    seed = min(int(x * scale), small.shape[1] - 1), min(int(y * scale), small.shape[0] - 1)
    cv2.floodFill(lab, filled, seed, 0, step, step, how)
    inner = np.ascontiguousarray(filled[1:-1, 1:-1])
    region = cv2.resize(inner, (width, height), interpolation=cv2.INTER_NEAREST).astype(bool)
    region[y, x] = True
    if not _SMALLEST <= region.sum() <= _LARGEST * region.size:
        rows, columns = np.ogrid[: region.shape[0], : region.shape[1]]
        radius = max(3, min(region.shape) // 16)
        region = (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
    return region


def sources(
    before: Image, after: Image
) -> tuple[Float32[np.ndarray, "H W"], Float32[np.ndarray, "H W"], Mask]:
    """Return where each pixel of a frame comes from in the other one, (x, y), and if that is sure.

    Args:
        before: the frame whose masks are known.
        after: the frame they are wanted on.
    """
    back, there = flow(after, before), flow(before, after)
    rows, columns = np.indices(back.shape[:2], np.float32)
    x, y = columns + back[..., 0], rows + back[..., 1]
    returned = cv2.remap(there, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    error = ((back + returned) ** 2).sum(-1)
    sure = error < _RELATIVE * ((back**2).sum(-1) + (returned**2).sum(-1)) + _ABSOLUTE
    inside = (x >= 0) & (y >= 0) & (x <= x.shape[1] - 1) & (y <= x.shape[0] - 1)
    return x, y, sure & inside


def carried(
    mask: Mask, x: Float32[np.ndarray, "H W"], y: Float32[np.ndarray, "H W"], sure: Mask
) -> Mask:
    """Return a mask carried along, without specks; empty once too little of it is left."""
    share = cv2.remap(mask.astype(np.float32), x, y, cv2.INTER_LINEAR)
    moved = ((share > 0.5) & sure).astype(np.uint8)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    moved = cv2.morphologyEx(cv2.morphologyEx(moved, cv2.MORPH_CLOSE, cross), cv2.MORPH_OPEN, cross)
    return moved.astype(bool) if moved.sum() >= _SMALLEST else np.zeros_like(mask)


def flow(start: Image, end: Image) -> Float[np.ndarray, "H W 2"]:
    """Return DIS optical flow: the pixel at p in `start` is at p + flow[p] in `end`."""
    grey, other = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (start, end))
    result = np.zeros((*grey.shape, 2), np.float32)
    cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(grey, other, result)
    return result

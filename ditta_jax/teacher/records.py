"""What student and teacher tell each other about one video, as arrays and plain values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from ditta_jax.labels import IGNORE
from ditta_jax.teacher import mask_rle

# Which frames may be prompted. "search": every one, as DiTTA's stage B asks for. "first frame":
# the first only, objects being tracked from it over all frames of the request.
KINDS = ("search", "first frame")


class ClassPeak(NamedTuple):
    """Where a class is most reliable in one frame.

    Attributes:
        class_id: class index, 0..C-1.
        reliability: largest reliability (Eq. 2) of the class's pixels, 0..1.
        y: row of that pixel; the first in row-major order among equals.
        x: column of that pixel.
        pixels: number of pixels of the class in the frame.
    """

    class_id: int
    reliability: float
    y: int
    x: int
    pixels: int


class Request(NamedTuple):
    """All the teacher is told about one video besides its frames.

    Attributes:
        video: name of the video.
        frames: names of the T warm-up frames, in order.
        size: (H, W) of the frames.
        num_classes: C.
        peaks: for each frame, the peaks of the classes present, in any order.
        thresholds: least reliability of a prompt on frame 0, on later frames.
        max_objects: most prompts in the whole video.
        kind: one of `KINDS`.
    """

    video: str
    frames: tuple[str, ...]
    size: tuple[int, int]
    num_classes: int
    peaks: tuple[tuple[ClassPeak, ...], ...]
    thresholds: tuple[float, float] = (0.8, 0.8)
    max_objects: int = 100
    kind: str = "search"

    def candidates(self, t: int) -> tuple[ClassPeak, ...]:
        """Return the peaks of frame t that may become prompts, in the order they are tried.

        Reliable enough ones, highest reliability first; equal ones by class (stage B, step 1).
        """
        if self.kind == "first frame" and t > 0:
            return ()
        least = self.thresholds[0 if t == 0 else 1]
        enough = (peak for peak in self.peaks[t] if peak.reliability >= least)
        return tuple(sorted(enough, key=lambda peak: (-peak.reliability, peak.class_id)))

    def pixels_per_class(self) -> Int[np.ndarray, " C"]:
        """Return N(c): pixels of each class over all frames, whether prompted or not."""
        pixels = np.zeros(self.num_classes, np.int64)
        for peak in (peak for frame in self.peaks for peak in frame):
            pixels[peak.class_id] += peak.pixels
        return pixels


def whole_video_request(
    video: str,
    frames: tuple[str, ...],
    size: tuple[int, int],
    num_classes: int,
    first_peaks: tuple[ClassPeak, ...],
    threshold: float = 0.8,
    max_objects: int = 100,
) -> Request:
    """Return the request for tracks over all frames of a video, prompted on its first one.

    Args:
        video: its name.
        frames: names of all its frames.
        size: (H, W).
        num_classes: C.
        first_peaks: of the classes on the first frame (`class_peaks`).
        threshold: least reliability of a prompt.
        max_objects: most prompts.

    Returns:
        A request whose N(c) are those of the first frame; who votes over more frames counts there.
    """
    peaks = (first_peaks, *((),) * (len(frames) - 1))
    both = (threshold, threshold)
    return Request(video, frames, size, num_classes, peaks, both, max_objects, "first frame")


class Masklets(NamedTuple):
    """Tracks of the objects of one video; masks of a frame may overlap.

    Attributes:
        size: (H, W).
        objects: object ids, ascending from 1.
        frames: for each frame (object id, COCO compressed run lengths) of the objects present, in
            the frame's list order, which settles ties of overlapping objects (the later wins).
        pixels_per_class: N(c) of the request.
        provenance: teacher, versions, prompts, seconds.
    """

    size: tuple[int, int]
    objects: tuple[int, ...]
    frames: tuple[tuple[tuple[int, str], ...], ...]
    pixels_per_class: Int[np.ndarray, " C"]
    provenance: Mapping[str, Any]

    def digest(self) -> str:
        """Return the SHA-256 of all that results depend on: the masks, not who made them when."""
        content = [self.size, self.objects, self.frames, [int(n) for n in self.pixels_per_class]]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def decode(self, t: int) -> tuple[Int[np.ndarray, " n"], Bool[np.ndarray, "n H W"]]:
        """Return ids and masks of the objects of frame t, in list order."""
        ids = np.array([object_id for object_id, _ in self.frames[t]], np.int64)
        masks = np.zeros((ids.size, *self.size), bool)
        for mask, (_, counts) in zip(masks, self.frames[t], strict=True):
            mask[:] = mask_rle.decode(counts, self.size)
        return ids, masks


def class_peaks(
    label: UInt8[np.ndarray, "H W"], reliability: Float[np.ndarray, "H W"]
) -> tuple[ClassPeak, ...]:
    """Return the peak of every class present in a label map, ascending by class (255 left out)."""
    if label.shape != reliability.shape:
        raise ValueError(f"labels {label.shape} and reliability {reliability.shape} differ in size")
    flat_label, flat_reliability = np.ravel(label), np.ravel(reliability)
    if not np.isfinite(flat_reliability).all():
        raise ValueError("reliability is not finite")
    peaks = []
    for class_id in np.flatnonzero(np.bincount(flat_label, minlength=IGNORE + 1)[:IGNORE]):
        pixels = np.flatnonzero(flat_label == class_id)
        peak = pixels[np.argmax(flat_reliability[pixels])]  # argmax: the first among equals
        y, x = divmod(int(peak), label.shape[1])
        value = float(flat_reliability[peak])
        peaks.append(ClassPeak(int(class_id), value, y, x, int(pixels.size)))
    return tuple(peaks)

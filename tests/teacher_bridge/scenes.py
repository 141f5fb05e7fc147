"""A tracker that knows the scene, small scenes, and requests for both: no PyTorch involved."""

import io
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from ditta_jax.teacher.cache import Request, class_peaks
from teacher_bridge.sam2.tracker import FrameMasks

RESET, CLICK, MASK = 0, 1, 2


class ScriptedTracker:
    """Tracks the regions of a known scene [T, H, W], and writes down what it is asked.

    A click takes the region under it, a mask the region it overlaps most.
    """

    def __init__(self, scene):
        self.scene, self.calls, self.regions = scene, [], {}

    def reset(self):
        self.calls.append((RESET, -1, -1, -1, -1))
        self.regions = {}

    def click(self, frame, object_id, y, x):
        self.calls.append((CLICK, frame, object_id, y, x))
        self.regions[object_id] = int(self.scene[frame, y, x])

    def mask(self, frame, object_id, mask):
        self.calls.append((MASK, frame, object_id, -1, -1))
        overlap = np.bincount(self.scene[frame][mask], minlength=1)
        self.regions[object_id] = int(overlap.argmax()) if mask.any() else -1

    def propagate(self, frame, *, reverse=False):
        masks = [self.scene[frame] == region for region in self.regions.values()]
        shape = (len(masks), *self.scene.shape[1:])
        return FrameMasks(tuple(self.regions), np.array(masks, bool).reshape(shape))


def request_for(labels, reliability, num_classes, video="scene", **settings):
    """Returns the request that a student with these label and reliability maps would write."""
    return Request(
        video=video,
        frames=tuple(f"frame{t}" for t in range(len(labels))),
        size=labels[0].shape,
        num_classes=num_classes,
        peaks=tuple(class_peaks(lab, r) for lab, r in zip(labels, reliability, strict=True)),
        **settings,
    )


class ListedFrames:
    """A `FrameSequence` of images in memory or of files."""

    def __init__(self, images=(), files=()):
        self.images, self.files = list(images), [Path(file) for file in files]

    def __len__(self):
        return len(self.files) or len(self.images)

    def file(self, t):
        return self.files[t] if self.files else None

    def encoded(self, t):
        if self.files:
            return self.files[t].read_bytes()
        target = io.BytesIO()
        Image.fromarray(self.images[t]).save(target, "PNG")
        return target.getvalue()


def moving_squares(frames=3, size=(96, 128)):
    """Returns images [T, H, W, 3] and labels [T, H, W] of two squares that move on a ground."""
    labels = np.zeros((frames, *size), np.uint8)
    for t in range(frames):
        unit, shift = size[0] // 12, t * size[0] // 24
        labels[t, 2 * unit : 7 * unit, unit + shift : 6 * unit + shift] = 1
        labels[t, 5 * unit : 10 * unit, 10 * unit - shift : 15 * unit - shift] = 2
    colours = np.array([(70, 110, 60), (210, 60, 50), (50, 80, 200)], np.uint8)
    noise = np.random.default_rng(0).integers(0, 12, (frames, *size, 3), np.uint8)
    return colours[labels] + noise, labels


def flat_reliability(labels, value=0.9):
    """Returns maps that are equally reliable everywhere: the peak is a class's first pixel."""
    return np.full(np.shape(labels), value, np.float32)


def central_reliability(labels):
    """Returns maps that are most reliable far from class borders, as a trained student's are."""
    maps = np.zeros(np.shape(labels), np.float32)
    for one, label in zip(maps, labels, strict=True):
        for class_id in np.unique(label):
            inside = np.pad((label == class_id).astype(np.uint8), 1)
            one += cv2.distanceTransform(inside, cv2.DIST_L2, 5)[1:-1, 1:-1]
    return np.minimum(0.85 + 0.01 * maps, 1.0)

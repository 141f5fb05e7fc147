"""The reference numbers of the authors' program, as the structures the parity tests use."""

import io
import json
from collections.abc import Mapping
from functools import cached_property

import cv2
import numpy as np
from PIL import Image

MEAN = np.array([123.675, 116.28, 103.53], np.float32)
STD = np.array([58.395, 57.12, 57.375], np.float32)


class Golden:
    """A reading of `reference_a.npz`: settings, weights, frames, targets and results."""

    def __init__(self, arrays: Mapping[str, np.ndarray]):
        """Arrays by key, as `numpy.load` gives them."""
        self.arrays = arrays
        self.meta = json.loads(str(arrays["meta"]))

    def weights(self, prefix: str) -> dict[str, np.ndarray]:
        """State dict in the released layout: prefix `init`, `adapted` or `adapted_f64`."""
        start = prefix + "/"
        return {k.removeprefix(start): self.arrays[k] for k in self.arrays if k.startswith(start)}

    def _images(self, prefix: str) -> list[np.ndarray]:
        keys = sorted(k for k in self.arrays if k.startswith(prefix + "/"))
        return [np.asarray(Image.open(io.BytesIO(self.arrays[k].tobytes()))) for k in keys]

    @cached_property
    def frames(self) -> list[np.ndarray]:
        """Decoded frames, uint8 `[H, W, 3]` RGB."""
        return self._images("frame")

    @cached_property
    def ground_truth(self) -> list[np.ndarray]:
        """Labels `[H, W]` uint8: VSPW's convention applied, 255 ignored."""
        raw = self._images("gt")
        return [np.where((g == 0) | (g == 255), 255, g - np.uint8(1)).astype(np.uint8) for g in raw]

    @cached_property
    def inputs(self) -> list[np.ndarray]:
        """Normalised network inputs, float32 `[3, H_i, W_i]`, by OpenCV."""
        return [network_input(f, tuple(self.meta["img_scale"])) for f in self.frames]

    @property
    def size(self) -> tuple[int, int]:
        """Source size `(H, W)`."""
        height, width = self.frames[0].shape[:2]
        return height, width

    @property
    def warmup(self) -> int:
        """Number of warm-up frames."""
        return self.meta["warmup"]

    @cached_property
    def object_ids(self) -> dict[int, np.ndarray]:
        """Object ids `[H, W]` of the frames that have a target."""
        maps = self.arrays["target_obj_id"]
        return {int(t): maps[i] for i, t in enumerate(self.arrays["target_frames"])}

    @property
    def architecture(self) -> dict:
        """Sizes of the student: channels, depths, heads, num_classes, embed_dim, radius."""
        meta = self.meta
        return {
            "channels": tuple(meta["embed_dims"]),
            "depths": tuple(meta["depths"]),
            "heads": tuple(meta["num_heads"]),
            "num_classes": meta["num_classes"],
            "embed_dim": meta["embed_dim"],
            "radius": meta["window"],
        }


def network_input(frame: np.ndarray, scale: tuple[int, int], divisor: int = 32) -> np.ndarray:
    """Two fixed-point resizes by OpenCV, then normalisation: `[H, W, 3]` to `[3, H_i, W_i]`."""
    height, width = frame.shape[:2]
    factor = min(scale[0] / max(height, width), scale[1] / min(height, width))
    size = int(width * factor + 0.5), int(height * factor + 0.5)
    resized = cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR)
    padded = tuple(-(-side // divisor) * divisor for side in size)
    resized = cv2.resize(resized, padded, interpolation=cv2.INTER_LINEAR)
    return ((resized.astype(np.float32) - MEAN) / STD).transpose(2, 0, 1)

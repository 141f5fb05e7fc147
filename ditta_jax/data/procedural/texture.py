"""An image that is painted at many sizes, with its reduced versions made when needed."""

from __future__ import annotations

import cv2
import numpy as np


class Texture:
    """RGBA uint8 with straight alpha and its halved versions.

    Attributes:
      opaque: whether every pixel covers what is behind it.
    """

    def __init__(self, rgba: np.ndarray):
        """Takes UInt8["h w 4"]."""
        self._levels = [rgba]
        self.opaque = bool(rgba[..., 3].min() == 255)

    def level(self, reduction: float) -> np.ndarray:
        """The version reduced by the power of two nearest below `reduction` (at least 4 px)."""
        index = max(int(np.floor(np.log2(max(reduction, 1.0)) + 0.3)), 0)
        while len(self._levels) <= index:
            last = self._levels[-1]
            height, width = last.shape[:2]
            if min(height, width) < 8:
                break
            size = (width // 2, height // 2)
            self._levels.append(cv2.resize(last, size, interpolation=cv2.INTER_AREA))
        return self._levels[min(index, len(self._levels) - 1)]

"""An image that is painted at many sizes: drawn when first needed, reduced when needed."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np


class Texture:
    """RGBA uint8 with straight alpha and its halved versions.

    What is never in view is never drawn, so the drawing must depend on its own seed only.
    """

    def __init__(self, draw: Callable[[np.random.Generator], np.ndarray], seed: int):
        """`draw` makes UInt8["h w 4"] from a generator with this seed."""
        self._draw, self._seed = draw, seed
        self._levels: list[np.ndarray] = []
        self._opaque = False

    def level(self, reduction: float) -> np.ndarray:
        """The version reduced by the power of two nearest below `reduction` (at least 4 px)."""
        if not self._levels:
            self._levels.append(self._draw(np.random.default_rng(self._seed)))
            self._opaque = bool(self._levels[0][..., 3].min() == 255)
        index = max(int(np.floor(np.log2(max(reduction, 1.0)) + 0.3)), 0)
        while len(self._levels) <= index:
            last = self._levels[-1]
            height, width = last.shape[:2]
            if min(height, width) < 8:
                break
            size = (width // 2, height // 2)
            self._levels.append(cv2.resize(last, size, interpolation=cv2.INTER_AREA))
        return self._levels[min(index, len(self._levels) - 1)]

    @property
    def opaque(self) -> bool:
        """Whether every pixel covers what is behind it; known once a level was taken."""
        return self._opaque

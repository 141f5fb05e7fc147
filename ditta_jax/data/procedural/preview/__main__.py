"""Contact sheet of the procedural data: python -m ditta_jax.data.procedural.preview FILE.png."""

from __future__ import annotations

import sys

import cv2
import numpy as np

from ditta_jax.data.procedural.classes import PALETTE
from ditta_jax.data.procedural.drive import stills, video
from ditta_jax.data.procedural.render import Picture


def _pair(picture: Picture) -> np.ndarray:
    return np.vstack([picture.frame, np.array(PALETTE, np.uint8)[picture.label]])


def main(path: str) -> None:
    """Write stills (first two rows) and three frames of each of four videos."""
    rows = []
    for row in range(2):
        rows.append(np.hstack([_pair(next(stills((1, 4 * row + i)))) for i in range(4)]))
    clips = [list(video((2, index))) for index in range(4)]
    for time in (0, 30, 59):
        rows.append(np.hstack([_pair(clip[time]) for clip in clips]))
    cv2.imwrite(path, np.vstack(rows)[..., ::-1])


if __name__ == "__main__":
    main(sys.argv[1])

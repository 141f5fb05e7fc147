"""A student and frames so small that stages A and D compile at once."""

import numpy as np

from ditta_jax.data.video import FrameSequence
from ditta_jax.students.segformer.config import SegFormerConfig

CONFIG = SegFormerConfig(
    3, (3, 4, 4, 5), (1, 1, 1, 1), (1, 1, 1, 1), (8, 4, 2, 1), 1, embed_dim=6, radius=1
)
SIZE = (30, 44)


class RandomFrames(FrameSequence):
    def __init__(self, length, seed=0):
        self._frames = np.random.default_rng(seed).integers(0, 256, (length, *SIZE, 3), np.uint8)

    def __len__(self):
        return len(self._frames)

    def __getitem__(self, index):
        return self._frames[index]

    def frame_name(self, index):
        return f"{index:03d}"

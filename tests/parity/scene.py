"""Inputs that both programs are given: one clip with weights, targets and stored prototypes."""

import dataclasses
from typing import NamedTuple

import numpy as np
import torch

from ditta_jax.benchmark.torch_rivals.direct_decoder import Student
from tests.parity.golden import Golden


class Scene(NamedTuple):
    """Two consecutive frames and all that one step of the adaptation needs.

    Attributes:
        architecture: sizes of the student, arguments of the twin's `Student`.
        weights: state dict in the released layout, float32.
        frames: normalised inputs `[2, 3, H_i, W_i]`, float32.
        label: distillation label of the second frame, `[H, W]` uint8, 255 ignored.
        object_ids: of the second frame, `[H, W]` uint8, 0 for none.
        prototypes: stored ones, unit length, `[O, D]` float32.
        seen: which of them are stored, `[O]`.
    """

    architecture: dict
    weights: dict[str, np.ndarray]
    frames: np.ndarray
    label: np.ndarray
    object_ids: np.ndarray
    prototypes: np.ndarray
    seen: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        """Source size `(H, W)`."""
        height, width = self.label.shape
        return height, width

    @property
    def input_size(self) -> tuple[int, int]:
        """Network input `(H_i, W_i)`."""
        return self.frames.shape[2], self.frames.shape[3]


@dataclasses.dataclass(frozen=True)
class Variation:
    """How `golden_scene` departs from the golden run.

    Attributes:
        seed: 0 for the golden weights as they are; else each weight is multiplied by a factor
            near 1 of its own.
        frame: index of the second frame.
        parallel: shrink the projection head's weights against its biases by this factor, so that
            its features are nearly parallel; 1 leaves them.
    """

    seed: int = 0
    frame: int = 1
    parallel: float = 1.0


def golden_scene(golden: Golden, variation: Variation = Variation()) -> Scene:  # noqa: B008
    """A step of the golden run, or one like it."""
    generator = np.random.default_rng(variation.seed)
    weights = dict(golden.weights("init"))
    if variation.seed:
        for key, value in weights.items():
            factor = 1.0 + 0.1 * generator.standard_normal(value.shape)
            weights[key] = (value * np.abs(factor)).astype(np.float32)
    for layer in (0, 2, 4):
        key = f"decode_head.proj_feat.{layer}.weight"
        weights[key] = weights[key] / np.float32(variation.parallel)
    t = variation.frame
    ids = golden.object_ids[t]
    score = golden.arrays["target_score"]
    voted = score.max(1) > 0
    label = golden.arrays["iss_pred"][t]
    label = np.where(voted[ids], score.argmax(1)[ids], label).astype(np.uint8)
    label[:3] = 255  # some ignored pixels
    prototypes = generator.standard_normal((score.shape[0] - 1, golden.meta["embed_dim"]))
    prototypes /= np.linalg.norm(prototypes, axis=1, keepdims=True)
    return Scene(
        architecture=golden.architecture,
        weights=weights,
        frames=np.stack(golden.inputs[t - 1 : t + 1]),
        label=label,
        object_ids=ids,
        prototypes=prototypes.astype(np.float32),
        seen=np.arange(len(prototypes)) % 2 == 0,
    )


def fresh_scene(seed: int, embed_dim: int = 256, size: tuple[int, int] = (50, 70)) -> Scene:
    """A student as torch initialises it: its projection head gives nearly parallel features."""
    torch.manual_seed(seed)
    architecture = {
        "channels": (8, 12, 20, 32),
        "depths": (1, 1, 1, 1),
        "heads": (1, 2, 5, 8),
        "num_classes": 7,
        "embed_dim": embed_dim,
        "radius": 5,
    }
    state = Student(**architecture).state_dict()
    weights = {k: v.numpy() for k, v in state.items() if not k.endswith("num_batches_tracked")}
    generator = np.random.default_rng(seed)
    coarse = generator.standard_normal((2, 3, 8, 8))
    frames = torch.nn.functional.interpolate(
        torch.from_numpy(coarse).float(), (64, 64), mode="bicubic"
    )
    rows, columns = (np.arange(n) * 4 // n for n in size)
    tiles = generator.integers(0, 6, (4, 4))
    object_ids = tiles[rows][:, columns].astype(np.uint8)
    prototypes = generator.standard_normal((5, embed_dim)).astype(np.float32)
    return Scene(
        architecture=architecture,
        weights=weights,
        frames=frames.numpy(),
        label=generator.integers(0, 7, (4, 4))[rows][:, columns].astype(np.uint8),
        object_ids=object_ids,
        prototypes=prototypes / np.linalg.norm(prototypes, axis=1, keepdims=True),
        seen=np.zeros(5, bool),
    )

"""What all rivals are given: weights, a clip, targets. Written once, in released layout.

    python -m ditta_jax.benchmark.workload FOLDER '{"student": "B0", ...}'

is how the benchmark makes it, in a process of its own, so that the coordinator needs no framework.
"""

import dataclasses
import json
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ditta_jax.errors import UserError

_SIDES = 64, 8192  # of a frame


@dataclasses.dataclass(frozen=True)
class Size:
    """What a step's cost depends on.

    Attributes:
        student: Mix Transformer, B0 … B5.
        height, width: of the source frames; the network input is rounded up to multiples of 32.
        classes: C.
        objects: O.
        frames: T, at least 2: a step sees two.
        seed: of weights, frames and targets.
    """

    student: str = "B0"
    height: int = 480
    width: int = 853
    classes: int = 124
    objects: int = 20
    frames: int = 2
    seed: int = 0

    @property
    def input(self) -> tuple[int, int]:
        """(Hi, Wi)."""
        return -(-self.height // 32) * 32, -(-self.width // 32) * 32


class Workload(NamedTuple):
    """A clip of frames with targets, and a student.

    Attributes:
        size: what it was made for.
        weights: by released key, float32.
        frames: Float32["T 3 Hi Wi"], normalised.
        labels: UInt8["T H W"], 255 ignored.
        object_ids: UInt8["T H W"], 0 for none.
    """

    size: Size
    weights: dict[str, np.ndarray]
    frames: np.ndarray
    labels: np.ndarray
    object_ids: np.ndarray


def frame_size(text: str) -> tuple[int, int]:
    """Height and width of `480x853`, as `--size` has them.

    Raises:
        UserError: it is something else.
    """
    found = re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", text)
    sides = tuple(map(int, found.groups())) if found else ()
    least, most = _SIDES
    if not sides or min(sides) < least or max(sides) > most:
        raise UserError(f"--size: {text!r} is not like 480x853, each {least} … {most}")
    return sides[0], sides[1]


def write(folder: Path, size: Size) -> None:
    """Make the workload of a size and write it."""
    generator = np.random.default_rng(size.seed)
    frames = generator.standard_normal((size.frames, 3, *(n // 16 for n in size.input)))
    frames = frames.repeat(16, 2).repeat(16, 3) + 0.2 * generator.standard_normal(
        (size.frames, 3, *size.input)
    )
    labels = _patches(generator, size, size.classes)
    labels[:, :4] = 255
    ids = _patches(generator, size, size.objects + 1)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "size.json").write_text(json.dumps(dataclasses.asdict(size)))
    np.savez(folder / "clip.npz", frames=frames.astype(np.float32), labels=labels, object_ids=ids)
    weights: dict[str, Any] = _weights(size)  # numpy's stub takes other keywords for options
    np.savez(folder / "weights.npz", **weights)


def _patches(generator: np.random.Generator, size: Size, values: int) -> np.ndarray:
    """Rectangles of 32 pixels, every value about equally often."""
    coarse = (-(-size.height // 32), -(-size.width // 32))
    drawn = generator.integers(0, values, (size.frames, *coarse)).astype(np.uint8)
    return drawn.repeat(32, 1).repeat(32, 2)[:, : size.height, : size.width].copy()


def _weights(size: Size) -> dict[str, np.ndarray]:
    """Fresh weights, with logits and projections spread so that the losses say something."""
    from ditta_jax.students.layouts.released_layout import RELEASED
    from ditta_jax.students.layouts.weight_layout import dump
    from ditta_jax.students.segformer.config import SegFormerConfig
    from ditta_jax.students.student import new_student

    config = SegFormerConfig.published(size.student, size.classes)
    weights = dump(RELEASED, new_student(config, size.seed))
    for key, factor in (("linear_pred", 20.0), ("query_layer.2", 4.0), ("proj_feat.4", 10.0)):
        weights[f"decode_head.{key}.weight"] = weights[f"decode_head.{key}.weight"] * factor
    return weights


def read(folder: Path) -> Workload:
    """Read what `write` wrote."""
    size = Size(**json.loads((folder / "size.json").read_text()))
    with np.load(folder / "weights.npz") as weights, np.load(folder / "clip.npz") as clip:
        return Workload(size, dict(weights), clip["frames"], clip["labels"], clip["object_ids"])


if __name__ == "__main__":
    write(Path(sys.argv[1]), Size(**json.loads(sys.argv[2])))

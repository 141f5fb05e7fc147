"""A SegFormer-B5 at 480×853: convert, run, compare with its torch original.

    python -m tests.parity.b5

Random weights (no download), one frame, encoder and decoder. Errors are those of single precision
against torch in double precision. Needs about 10 GB and a few minutes on two cores.
"""

import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from ditta_jax.data.preprocess import to_input
from tests.parity import huggingface, stages_ours
from tests.parity.measure import relative_error


def main() -> None:
    """Print a table of errors, seconds and the peak of memory."""
    random = np.random.default_rng(0)
    coarse = torch.from_numpy(random.uniform(0, 255, (1, 3, 30, 54)))
    frame = torch.nn.functional.interpolate(coarse, (480, 853), mode="bicubic")[0]
    frame = frame.clamp(0, 255).byte().permute(1, 2, 0).numpy()
    images = to_input(frame)[None]
    model = huggingface.random_segformer("B5", classes=124, seed=0)
    with tempfile.TemporaryDirectory() as scratch:
        folder = huggingface.save(model, Path(scratch) / "b5")
        ours, seconds_ours = _timed(stages_ours.converted_folder, folder, images, "float32")
    torch32, seconds_torch = _timed(huggingface.features_and_logits, model, images)
    exact = huggingface.features_and_logits(model.double(), images)
    print(f"SegFormer-B5, frame 480×853, network input {images.shape[1]}×{images.shape[2]}")
    print(f"{'':18s} {'ours':>10s} {'torch':>10s}   (float32 against torch in float64)")
    names = [*(f"encoder level {i}" for i in range(1, 5)), "logits"]
    rows = zip(names, _flat(ours), _flat(torch32), _flat(exact), strict=True)
    for name, mine, theirs, value in rows:
        errors = relative_error(mine, value), relative_error(theirs, value)
        print(f"{name:18s} {errors[0]:10.1e} {errors[1]:10.1e}")
    same = [(x[1].argmax(-1) == exact[1].argmax(-1)).mean() for x in (ours, torch32)]
    print(f"{'equal labels':18s} {same[0]:10.4%} {same[1]:10.4%}")
    print(f"seconds: ours {seconds_ours:.0f} with conversion and compilation, ", end="")
    print(f"torch {seconds_torch:.0f}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak memory of the process, all three runs: {peak:.1f} GB")


def _timed(function, *arguments):
    start = time.perf_counter()
    return function(*arguments), time.perf_counter() - start


def _flat(result) -> list[np.ndarray]:
    levels, logits = result
    return [*levels, logits]


if __name__ == "__main__":
    main()

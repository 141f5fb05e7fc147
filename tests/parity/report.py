"""Measured errors, as the tables of docs/fidelity.md: python -m tests.parity.report

Needs the reference numbers (`DITTA_SHARED`, or `shared` beside the repository).
"""

import os
from pathlib import Path

import numpy as np

from ditta_jax.errors import UserError, run
from tests.parity.golden import Golden
from tests.parity.golden_run import run_golden
from tests.parity.measure import NO_GRADIENT, Comparison, relative_error
from tests.parity.scene import Variation, fresh_scene, golden_scene

SEEDS = 4


def main() -> None:
    """Print three tables in Markdown."""
    golden = Golden(_arrays())
    print_golden(golden)
    frames = (1, 2, 4, 5)
    trained = Comparison(
        [golden_scene(golden, Variation(seed=i, frame=frames[i % 4])) for i in range(SEEDS)]
    )
    print_stages(trained)
    print_single("trained student", trained)
    print_single(
        "fresh student, features nearly parallel",
        Comparison([fresh_scene(seed) for seed in range(SEEDS)]),
    )


def print_golden(golden: Golden) -> None:
    """The golden run against the authors' program in double precision."""
    exact = golden.arrays["losses_f64"]
    print("| golden run | largest loss error | predictions equal | largest weight error |")
    print("|---|---|---|---|")
    rows = [
        (
            "the authors' program, float32",
            golden.arrays["losses"],
            golden.arrays["eval_pred"],
            golden.weights("adapted"),
        )
    ]
    for dtype in ("float32", "float64"):
        ours = run_golden(golden, dtype)
        rows.append((f"ours, {dtype}", ours.losses, ours.predictions, ours.adapted))
    weights = golden.weights("adapted_f64")
    for name, losses, predictions, adapted in rows:
        loss = np.nanmax(np.abs(losses - exact) / exact)
        equal = (predictions == golden.arrays["eval_pred_f64"]).mean()
        moved = [k for k in weights if k not in NO_GRADIENT and "running" not in k]
        weight = max(np.abs(adapted[k] - weights[k]).max() for k in moved)
        print(f"| {name} | {loss:.1e} | {equal:.4%} | {weight:.1e} |")
    print()


def print_stages(comparison: Comparison) -> None:
    """Double precision, ours against the twin: largest error over the largest magnitude."""
    print("| stage, float64 | error against the twin |")
    print("|---|---|")
    ours, twin = (comparison.results("forward", who, "float64") for who in ("ours", "twin"))
    for name, value in twin.items():
        print(f"| {name} | {_error(ours[name], value)} |")
    for stage in ("step", "step at t = 0"):
        ours, twin = (comparison.results(stage, who, "float64") for who in ("ours", "twin"))
        for kind in ("loss", "gradient", "live", "momentum"):
            keys = [k for k in twin if k.startswith(kind) and k.split("/")[1] not in NO_GRADIENT]
            worst = max(relative_error(ours[k], twin[k]) for k in keys)
            print(f"| {stage}: {_KINDS[kind]} | {worst:.1e} |")
    print()


_KINDS = {
    "loss": "losses",
    "gradient": "gradient of every parameter",
    "live": "weights and running statistics after it",
    "momentum": "momentum network after it",
}


def print_single(title: str, comparison: Comparison) -> None:
    """Single precision, both programs against the twin in double precision."""
    print(f"| float32, {title} | ours | the twin |")
    print("|---|---|---|")
    for stage in ("forward", "step"):
        for name, (ours, twin) in comparison.single_precision_errors(stage).items():
            label = f"step: {_KINDS.get(name, name)}" if stage == "step" else name
            print(f"| {label} | {ours:.1e} | {twin:.1e} |")
    print()


def _error(ours: np.ndarray, twin: np.ndarray) -> str:
    if twin.dtype.kind in "iu":
        return f"{(ours == twin).mean():.2%} equal"
    return f"{relative_error(ours, twin):.1e}"


def _arrays():
    folder = Path(os.environ.get("DITTA_SHARED", Path(__file__).parents[3] / "shared"))
    path = folder / "golden" / "reference_a.npz"
    if not path.is_file():
        raise UserError(f"{path}: no reference numbers; set DITTA_SHARED to their folder")
    return np.load(path)


if __name__ == "__main__":
    run(main)

"""Runs rivals, each in a process of its own, and compares what they report."""

import contextlib
import dataclasses
import json
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from ditta_jax.benchmark.measurement import Measurement, Task
from ditta_jax.benchmark.workload import Size
from ditta_jax.errors import UserError

# What each is, and the program that is it.
RIVALS = {
    "torch-direct": (
        "(a) PyTorch, the released algorithm: dense attention, encoder recomputed",
        "ditta_jax.benchmark.torch_rivals",
    ),
    "torch-eager": ("(b) PyTorch, our algorithm, eager", "ditta_jax.benchmark.torch_rivals"),
    "torch-compiled": (
        "(c) PyTorch, our algorithm, torch.compile",
        "ditta_jax.benchmark.torch_rivals",
    ),
    "jax": ("(d) ditta_jax", "ditta_jax.benchmark.jax_rival"),
}
# Largest relative difference of a loss between float32 programs that sum in different orders.
LOSS_TOLERANCE = 1e-4
METHOD_PASSES = 5  # of the method over the warm-up: each frame's features serve so many steps


def write_workload(folder: Path, size: Size) -> None:
    """Make the workload, in a process of its own."""
    text = json.dumps(dataclasses.asdict(size))
    _run([sys.executable, "-m", "ditta_jax.benchmark.workload", str(folder), text], {}, None)


def run_rival(folder: Path, task: Task) -> Measurement:
    """Run one rival on a workload and read its report.

    Raises:
        UserError: it failed; the message has the end of its output.
    """
    result = folder / f"{task.rival}.json"
    result.unlink(missing_ok=True)
    text = json.dumps(dataclasses.asdict(task))
    command = [sys.executable, "-m", RIVALS[task.rival][1], str(folder), str(result), text]
    variables = {"JAX_PLATFORMS": "cpu"} if task.device == "cpu" else {}
    if task.device == "cpu":
        variables |= {"OMP_NUM_THREADS": str(task.threads)}
    _run(command, variables, task.threads if task.device == "cpu" else None)
    return Measurement(**json.loads(result.read_text()))


def _run(command: list[str], variables: dict[str, str], threads: int | None) -> None:
    environment = {**os.environ, **variables}
    with _on_cores(threads):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        tail = (done.stderr.strip().splitlines() or ["no output"])[-1]
        died = f"killed by signal {-done.returncode}" if done.returncode < 0 else tail
        raise UserError(f"benchmark: {' '.join(command[2:3])} failed: {died}")


@contextlib.contextmanager
def _on_cores(threads: int | None) -> Iterator[None]:
    """Start processes on the first cores only, whatever their thread pools do; they inherit it.

    Not by a function that runs in the child before its program: that forks a process that may
    have JAX's threads.
    """
    if threads is None or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:threads])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def largest_difference(one: Measurement, other: Measurement) -> float:
    """Largest relative difference between two tables of losses.

    Raises:
        UserError: they do not have the same terms.
    """
    worst = 0.0
    for row, its in zip(one.losses, other.losses, strict=True):
        for a, b in zip(row, its, strict=True):
            if (a is None) != (b is None):
                raise UserError(f"benchmark: {one.rival} and {other.rival} differ in their terms")
            if a is not None and b is not None:
                difference = abs(a - b) / max(abs(a), 1e-12)
                worst = max(worst, difference if math.isfinite(difference) else math.inf)
    return worst


def check_losses(measurements: list[Measurement]) -> dict[str, float]:
    """Every rival's difference from the first.

    Raises:
        UserError: one is larger than the tolerance, so that times would compare different work.
    """
    differences = {m.rival: largest_difference(measurements[0], m) for m in measurements}
    for rival, difference in differences.items():
        if not difference <= LOSS_TOLERANCE:
            raise UserError(
                f"benchmark: the losses of {rival} differ from those of {measurements[0].rival} by "
                f"{difference:.1e} (at most {LOSS_TOLERANCE:.0e}): not the same computation"
            )
    return differences


def step_seconds(measurement: Measurement) -> float:
    """Median step, with a fifth of a frame's encoding where features are cached."""
    encode = statistics.median(measurement.encode) if measurement.encode else 0.0
    return statistics.median(measurement.step) + encode / METHOD_PASSES

"""Compares this package with PyTorch: same weights, same clip, same step, same machine.

    python -m ditta_jax.benchmark                          # all four; 480×853, B0, 124 classes
    python -m ditta_jax.benchmark --student B5 --rivals torch-eager,jax
    python -m ditta_jax.benchmark --growth --rivals jax    # curves of time and memory
    python -m ditta_jax.benchmark --compile-for v5e,h100    # what their compilers say
    python -m ditta_jax.benchmark --size 96x160 --classes 11 --objects 5    # small, for a look

Each rival runs in a process of its own on the same cores, warm, with its results ready; medians.
Their losses are compared first. Prints a table, writes benchmark.json and, with matplotlib (the
extra `plots`), benchmark.svg.
"""

import argparse
import dataclasses
import os
import sys
import tempfile
from pathlib import Path

from ditta_jax.benchmark import compile_for, growth, plots, report, rivals
from ditta_jax.benchmark.measurement import Task
from ditta_jax.benchmark.workload import Size, frame_size
from ditta_jax.errors import UserError, run
from ditta_jax.files import check_writable

DEFAULT_RIVALS = ",".join(rivals.RIVALS)
DIRECT_TIMES = 2  # steps and frames of the direct rival, whose step takes a minute and more


def main() -> int | None:
    """Read the command line, measure (or compile), report."""
    if any(word.partition("=")[0] == "--compile-for" for word in sys.argv[1:]):
        return compile_for.main(sys.argv[1:])
    options = parse(sys.argv[1:])
    size = options.size
    task = Task(
        "",
        options.steps,
        options.frames,
        options.threads,
        options.device,
        tf32=options.tf32,
    )
    report.refuse_foreign(options.out)
    check_writable(options.out)
    measurements = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        rivals.write_workload(work, size)
        for name in options.rivals:
            say(f"{rivals.RIVALS[name][0]} ...")
            own = dataclasses.replace(task, rival=name)
            if name == "torch-direct":
                steps, frames = (min(n, DIRECT_TIMES) for n in (task.steps, task.frames))
                own = dataclasses.replace(own, steps=steps, frames=frames)
            measurements.append(rivals.run_rival(work, own))
            # kept at once: a rival that disagrees must not cost what the others took
            report.write(options.out, size, measurements, {}, [])
        differences = rivals.check_losses(measurements)
        curves = []
        if options.growth:
            own = dataclasses.replace(task, rival="jax", frames=0)
            curves = growth.measure(work, size, own, say)
    print(
        f"\n{size.height}x{size.width}, {size.student}, {size.classes} classes, "
        f"{size.objects} objects, {measurements[0].device}, {options.threads} threads; losses "
        f"agree to {max(differences.values()):.1e}; a step includes a fifth of a frame's encoding\n"
    )
    print(report.table(measurements))
    if curves:
        print("\n" + report.curves_table(curves))
    report.write(options.out, size, measurements, differences, curves)
    drawn = plots.draw(options.out / "benchmark.svg", report.panels(measurements, curves))
    told = " and benchmark.svg" if drawn else f"; {plots.MISSING}"
    print(f"\nresults in {options.out}/benchmark.json{told}")
    return None


def say(text: str) -> None:
    """Progress, apart from the table."""
    print(text, file=sys.stderr, flush=True)


def parse(arguments: list[str]) -> argparse.Namespace:
    """Return the checked command line; `size` becomes a `Size`.

    Raises:
        UserError: an unknown rival or an impossible size.
    """
    parser = argparse.ArgumentParser(
        prog="python -m ditta_jax.benchmark", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument(
        "--compile-for",
        metavar="CHIPS",
        help="compile for chips that are not here, e.g. v5e,h100, and measure nothing; has options "
        "of its own: --compile-for v5e --help",
    )
    parser.add_argument("--rivals", default=DEFAULT_RIVALS, help=f"default: {DEFAULT_RIVALS}")
    parser.add_argument("--student", default="B0", help="B0 (default) … B5")
    parser.add_argument("--size", default="480x853", help="height x width (default 480x853)")
    parser.add_argument("--classes", type=int, default=124)
    parser.add_argument("--objects", type=int, default=20)
    parser.add_argument("--steps", type=int, default=5, help="timed steps; direct: 2")
    parser.add_argument("--frames", type=int, default=5, help="timed frames; 0: no inference")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument(
        "--tf32", action="store_true", help="let a GPU multiply in TF32 (all rivals)"
    )
    parser.add_argument("--growth", action="store_true", help="also measure how cost grows")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark"))
    options = parser.parse_args(arguments)
    options.rivals = options.rivals.split(",")
    for name in options.rivals:
        if name not in rivals.RIVALS:
            known = ", ".join(rivals.RIVALS)
            raise UserError(f"--rivals: there is no {name!r}; these are: {known}")
    if options.student not in ("B0", "B1", "B2", "B3", "B4", "B5"):
        raise UserError(f"--student: {options.student!r} is not one of B0 … B5")
    height, width = frame_size(options.size)
    if not (1 <= options.classes <= 255 and 1 <= options.objects <= 254):
        raise UserError("--classes must be 1 … 255 and --objects 1 … 254: labels are bytes")
    if options.steps < 1 or options.frames < 0 or options.threads < 1:
        raise UserError("--steps and --threads must be at least 1, --frames at least 0")
    options.size = Size(options.student, height, width, options.classes, options.objects)
    return options


if __name__ == "__main__":
    run(main)

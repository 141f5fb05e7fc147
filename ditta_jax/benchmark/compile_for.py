"""Compile for accelerators that are not here, and say what their compilers say.

    python -m ditta_jax.benchmark --compile-for v5e,v6e,a100,h100
    python -m ditta_jax.benchmark --compile-for v5e --students B0 --dtypes bfloat16
    python -m ditta_jax.benchmark --compile-for h100 --size 96x160 --classes 11    # small
    python -m ditta_jax.benchmark --compile-for v5e,h100 --resume    # what compiled.json lacks

For adaptation, stage A and stage D, from shapes alone: does it compile, how long does that take,
how much of the device's memory does it need, and, for TPUs, how many cycles the compiler expects.
Nothing runs on a device, so nothing of this is a measurement of one.
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ditta_jax.benchmark import chips
from ditta_jax.benchmark.compiled_cell import Cell, Compiled
from ditta_jax.benchmark.workload import Size, frame_size
from ditta_jax.errors import UserError
from ditta_jax.files import json_with, parse_json, refuse_foreign_file, write_atomically
from ditta_jax.runs.lock import FolderLock

MIB = 2**20
STUDENTS = ("B0", "B1", "B2", "B3", "B4", "B5")
DTYPES = ("float32", "bfloat16")
PROGRAMS = ("adaptation", "stage A", "stage D")
HEADER = (
    "| chip | student | dtype | program | compiles | s to compile | arguments MiB "
    "| temporaries MiB | code MiB | estimated ms a step or frame |\n"
    "|---|---|---|---|---|---|---|---|---|---|"
)

Rows = dict[Cell, Compiled]


def main(arguments: Sequence[str]) -> int:
    """Compile every cell; prints the table and writes compiled.json as far as it got each time.

    Returns:
        0 if everything compiles, else 1.
    """
    options = parse(arguments)
    file = options.out / "compiled.json"
    refuse_foreign_file(file, json_with("kind", "programs"))
    asked = cells(options)
    with FolderLock(options.out):
        rows = read_rows(file) if options.resume else {}
        for cell in asked:
            if cell in rows:
                continue
            told = f"{cell.chip} {cell.size.student} {cell.compute} {cell.program}"
            print(f"{told} ...", file=sys.stderr)
            rows[cell] = compile_apart(cell)
            write_atomically(file, (_json(rows) + "\n").encode())
    shown = {cell: rows[cell] for cell in asked}
    print(table(shown))
    if any(result.cycles for result in shown.values()):
        print("\n" + parts_table(shown))
    print(f"\nresults in {file}")
    return int(any(result.error for result in shown.values()))


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The checked command line; lists become tuples.

    Raises:
        UserError: a value that does not exist, or a compiler that is not installed.
    """
    parser = argparse.ArgumentParser(
        prog="python -m ditta_jax.benchmark", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--compile-for", required=True, help=", ".join(chips.CHIPS))
    parser.add_argument("--students", default="B0,B2,B5", help="default: B0,B2,B5")
    parser.add_argument("--dtypes", default=",".join(DTYPES), help="default: both")
    parser.add_argument("--programs", default=",".join(PROGRAMS), help="default: all three")
    parser.add_argument("--size", default="480x853", help="height x width (default 480x853)")
    parser.add_argument("--classes", type=int, default=124)
    parser.add_argument("--objects", type=int, default=32, help="tracked objects, padded")
    parser.add_argument("--warm-up-frames", type=int, default=8)
    parser.add_argument(
        "--resume", action="store_true", help="keep what OUT/compiled.json has, of whatever version"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark"))
    options = parser.parse_args(arguments)
    known = {"students": STUDENTS, "dtypes": DTYPES, "programs": PROGRAMS}
    for name, values in known.items():
        given = tuple(getattr(options, name).split(","))
        for value in given:
            if value not in values:
                raise UserError(f"--{name}: there is no {value!r}; these are: {', '.join(values)}")
        setattr(options, name, given)
    options.size = frame_size(options.size)
    for name in ("classes", "objects", "warm_up_frames"):
        if not 1 <= getattr(options, name) <= 255:
            raise UserError(f"--{name.replace('_', '-')} must be 1 … 255")
    options.chips = chips.chosen(options.compile_for.split(","))
    return options


def cells(options: argparse.Namespace) -> list[Cell]:
    """What is compiled, chip by chip."""
    height, width = options.size
    return [
        Cell(
            chip,
            compute,
            Size(student, height, width, options.classes, options.objects, options.warm_up_frames),
            program,
        )
        for chip in options.chips
        for student in options.students
        for compute in options.dtypes
        for program in options.programs
    ]


def compile_apart(cell: Cell) -> Compiled:
    """Compile a cell in a process of its own; one that dies is a result as well."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        text = json.dumps(dataclasses.asdict(cell))
        module = "ditta_jax.benchmark.compiled_cell"
        done = subprocess.run(
            [sys.executable, "-m", module, str(result), text],
            env={**os.environ, **chips.environment(chips.CHIPS[cell.chip])},
            capture_output=True,
            text=True,
            check=False,
        )
        if result.is_file():
            return Compiled(**json.loads(result.read_text()))
    tail = (done.stderr.strip().splitlines() or ["no output"])[-1]
    died = f"killed by signal {-done.returncode}" if done.returncode < 0 else tail
    return Compiled(f"the compiler's process failed: {died}")


def table(rows: Rows) -> str:
    """One line a program, as Markdown."""
    lines = [HEADER]
    for cell, result in rows.items():
        chip = chips.CHIPS[cell.chip]
        start = f"| {chip.title} | {cell.size.student} | {cell.compute} | {cell.program} "
        if result.error:
            lines.append(start + f"| **no**: {result.error} |" + " |" * 5)
            continue
        memory = (result.arguments, result.temporaries, result.code)
        sizes = " | ".join(f"{x / MIB:.0f}" for x in memory)
        estimated = f"{milliseconds(cell, result):.1f}" if result.cycles else "-"
        lines.append(start + f"| yes | {result.seconds:.0f} | {sizes} | {estimated} |")
    return "\n".join(lines)


def parts_table(rows: Rows) -> str:
    """Estimated milliseconds of a step or frame by part of the method, as Markdown."""
    lines = ["| chip | student | dtype | program | estimated ms by part |", "|---|---|---|---|---|"]
    for cell, result in rows.items():
        if not any(result.cycles.values()):
            continue
        scale = milliseconds(cell, result) / sum(result.cycles.values())
        parts = sorted(result.cycles.items(), key=lambda item: -item[1])
        listed = ", ".join(f"{name} {cycles * scale:.2f}" for name, cycles in parts if cycles)
        if result.unknown_loops:
            listed += f"; {result.unknown_loops} loops of unknown length count as one turn"
        title = f"{chips.CHIPS[cell.chip].title} | {cell.size.student} | {cell.compute}"
        lines.append(f"| {title} | {cell.program} | {listed} |")
    return "\n".join(lines)


def milliseconds(cell: Cell, result: Compiled) -> float:
    """The compiler's estimate of one step or frame."""
    cycles = sum(result.cycles.values()) / result.runs
    return 1e3 * cycles / chips.CHIPS[cell.chip].hertz


def read_rows(file: Path) -> Rows:
    """What a file of results has; nothing where there is none.

    Raises:
        UserError: it is not such a file.
    """
    if not file.exists():
        return {}
    try:
        content = parse_json(file.read_bytes())
        jax = {"jax": content.get("jax", "")}  # of a file that noted it once for all
        rows = {
            Cell(**row["cell"] | {"size": Size(**row["cell"]["size"])}): Compiled(
                **jax | row["result"]
            )
            for row in content["programs"]
        }
        for cell, result in rows.items():
            _check(cell, result)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        told = f"{file}: not results of --compile-for ({error})"
        raise UserError(f"{told}; remove it, or leave out --resume") from error
    return rows


def _check(cell: Cell, result: Compiled) -> None:
    """ValueError for what no compiler said."""
    like = Compiled(cycles=result.cycles)
    for name, value in dataclasses.asdict(like).items():
        own = getattr(result, name)
        numbers = isinstance(value, int | float) and isinstance(own, int | float)
        if type(own) is not type(value) and not numbers or numbers and own < 0:
            raise ValueError(f"{name}: {own!r}")
    counts = result.cycles.values()
    if not all(isinstance(count, int) and count >= 0 for count in counts):
        raise ValueError(f"cycles: {result.cycles!r}")
    if cell.chip not in chips.CHIPS or result.runs < 1:
        raise ValueError(f"chip: {cell.chip!r}, runs: {result.runs!r}")


def _json(rows: Rows) -> str:
    content = [
        {
            "cell": dataclasses.asdict(cell),
            "result": dataclasses.asdict(result),
            "estimated_ms": milliseconds(cell, result) if result.cycles else None,
        }
        for cell, result in rows.items()
    ]
    kind = "said by the chips' compilers from shapes alone; nothing was run on a device"
    return json.dumps({"kind": kind, "programs": content}, indent=1)

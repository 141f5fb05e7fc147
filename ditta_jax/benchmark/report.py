"""The benchmark's table and JSON, and what its plots show."""

import dataclasses
import json
import os
import platform
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ditta_jax.benchmark.growth import Curve
from ditta_jax.benchmark.measurement import Measurement
from ditta_jax.benchmark.plots import Bars, Line
from ditta_jax.benchmark.rivals import RIVALS, step_seconds
from ditta_jax.benchmark.workload import Size
from ditta_jax.files import json_with, refuse_foreign_file, write_atomically

GB = 1e9
HEADER = (
    "| rival | step s | speed-up | plain frame s | fused frame s | fused / plain | peak GB "
    "| first step s | share of matmul peak |\n|---|---|---|---|---|---|---|---|---|"
)


def table(measurements: Sequence[Measurement]) -> str:
    """The comparison as Markdown; speed-ups over the first rival."""
    slowest = step_seconds(measurements[0])
    flops = next((m.step_flops for m in measurements if m.step_flops), None)
    lines = [HEADER]
    for m in measurements:
        seconds = step_seconds(m)
        plain, fused = (
            statistics.median(x) if x else float("nan") for x in (m.plain_frame, m.fused_frame)
        )
        # Useful operations: those that our algorithm's step needs. The direct one does more.
        share = "-"
        if flops and m.rival != "torch-direct":
            share = f"{100 * flops / statistics.median(m.step) / m.matmul_flops:.0f} %"
        lines.append(
            f"| {RIVALS[m.rival][0]} | {seconds:.3g} | {slowest / seconds:.1f} | {plain:.3g} "
            f"| {fused:.3g} | {fused / plain:.2f} | {m.peak_bytes / GB:.2f} "
            f"| {m.first_step:.3g} | {share} |"
        )
    return "\n".join(lines)


def curves_table(curves: Sequence[Curve]) -> str:
    """The growth of cost as Markdown."""
    lines = ["| | | step s | pass s | encode s | peak GB |", "|---|---|---|---|---|---|"]
    for curve in curves:
        for point in curve.points:
            m = point.measurement
            medians = (statistics.median(x) for x in (m.step, m.whole_pass, m.encode))
            numbers = " | ".join(f"{x:.3g}" for x in medians)
            lines.append(
                f"| {curve.name} | {point.value:g} | {numbers} | {m.peak_bytes / GB:.2f} |"
            )
    return "\n".join(lines)


def write(
    out: Path,
    size: Size,
    measurements: Sequence[Measurement],
    differences: dict[str, float],
    curves: Sequence[Curve],
) -> None:
    """Write benchmark.json."""
    content = {
        "size": dataclasses.asdict(size),
        "machine": machine(),
        "rivals": [dataclasses.asdict(m) for m in measurements],
        "loss_differences": differences,
        "curves": [dataclasses.asdict(c) for c in curves],
    }
    write_atomically(out / "benchmark.json", (json.dumps(content, indent=1) + "\n").encode())


def refuse_foreign(out: Path) -> None:
    """Refuse a folder whose files of these names are not an earlier benchmark's.

    Raises:
        UserError: names the file.
    """
    is_ours = json_with("size", "rivals", "curves")
    refuse_foreign_file(out / "benchmark.json", is_ours)
    refuse_foreign_file(out / "benchmark.svg", lambda _: is_ours(out / "benchmark.json"))


def panels(measurements: Sequence[Measurement], curves: Sequence[Curve]) -> list[Bars | Line]:
    """One panel per compared quantity and per curve."""
    names = [m.rival for m in measurements]
    result: list[Bars | Line] = [
        Bars("one adaptation step", names, [step_seconds(m) for m in measurements], "s"),
        Bars("peak memory", names, [m.peak_bytes / GB for m in measurements], "GB"),
    ]
    if all(m.fused_frame for m in measurements):
        for kind in ("fused_frame", "plain_frame"):
            seconds = [statistics.median(getattr(m, kind)) for m in measurements]
            result.append(Bars(kind.replace("_", " "), names, seconds, "s"))
    for curve in curves:
        x = [p.value for p in curve.points]
        timed = "whole_pass" if curve.name == "warm-up frames" else "step"
        seconds = [statistics.median(getattr(p.measurement, timed)) for p in curve.points]
        memory = [p.measurement.peak_bytes / GB for p in curve.points]
        name = "one pass" if timed == "whole_pass" else "one step"
        result.append(Line(f"{name} by {curve.name}", curve.name, x, seconds, "s"))
        result.append(Line(f"peak memory by {curve.name}", curve.name, x, memory, "GB"))
    return result


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    model = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [x for x in info.read_text().splitlines() if x.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "system": platform.platform(),
    }

"""How the cost of a step grows with resolution, classes, objects and warm-up frames."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from ditta_jax.benchmark.measurement import Measurement, Task
from ditta_jax.benchmark.rivals import run_rival, write_workload
from ditta_jax.benchmark.workload import Size

HEIGHTS = (240, 360, 480, 720)  # at the aspect of 480×853
CLASSES = (19, 62, 124, 248)
OBJECTS = (5, 20, 80, 160)
FRAMES = (2, 4, 8, 16)


@dataclasses.dataclass
class Point:
    """One measurement; `value` is what was varied, for resolution in thousands of pixels."""

    value: float
    measurement: Measurement


@dataclasses.dataclass
class Curve:
    """Measurements that differ in one thing."""

    name: str
    points: list[Point]


def measure(folder: Path, base: Size, task: Task, say: Callable[[str], None]) -> list[Curve]:
    """All four curves of one rival, every point in a process of its own."""
    heights = [dataclasses.replace(base, height=h, width=round(h * 853 / 480)) for h in HEIGHTS]
    plans = {
        "kilopixels": [(s.height * s.width / 1000, s) for s in heights],
        "classes": [(float(n), dataclasses.replace(base, classes=n)) for n in CLASSES],
        "objects": [(float(n), dataclasses.replace(base, objects=n)) for n in OBJECTS],
        "warm-up frames": [(float(n), dataclasses.replace(base, frames=n)) for n in FRAMES],
    }
    curves = []
    for name, plan in plans.items():
        points = []
        for value, size in plan:
            say(f"growth: {name} {value:g}")
            write_workload(folder, size)
            points.append(Point(value, run_rival(folder, task)))
        curves.append(Curve(name, points))
    return curves

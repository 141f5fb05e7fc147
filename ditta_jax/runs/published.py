"""A run's scores beside the paper's, where the paper has such a row.

`report.experiment` names the experiment. The figures are in `published.csv`, in percent, each with
its source; they are of SegFormer-B5 on all 343 videos of VSPW's split `val`, or on Cityscapes.
The notes give no warm-up for Cityscapes; it is put beside a run of 10 percent.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from importlib import resources
from typing import Any, NamedTuple

SCORES = ("mIoU", "wIoU", "mVC8", "mVC16")


class Row(NamedTuple):
    """A row of the paper.

    Attributes:
        method: as methods are called here.
        scores: in percent, of those that are known.
        source: where the figures come from.
    """

    method: str
    scores: dict[str, float]
    source: str


def published_rows(experiment: str, percent: float) -> list[Row]:
    """The paper's rows of an experiment at a length of the warm-up, in percent."""
    text = (resources.files("ditta_jax.runs") / "published.csv").read_text()
    return [
        Row(
            line["method"],
            {name: float(line[name]) for name in SCORES if line[name]},
            line["source"],
        )
        for line in csv.DictReader(text.splitlines())
        if line["experiment"] == experiment and float(line["percent"]) == percent
    ]


def beside_published(
    methods: Mapping[str, Mapping[str, Any]], experiment: str, percent: float
) -> list[str]:
    """Lines that set a run's scores beside the paper's; none where no experiment is named.

    Args:
        methods: per method, its scores as fractions.
        experiment: `report.experiment`.
        percent: `warmup.percent`.
    """
    if not experiment:
        return []
    rows = published_rows(experiment, percent)
    if not rows:
        return [f"the paper has no row of {experiment} at {percent:g} % warm-up"]
    lines = [f"beside the paper ({experiment}, {percent:g} % warm-up; ours - paper's, percent):"]
    for row in rows:
        ours = methods.get(row.method)
        if ours is None:
            continue
        told = [_told(name, ours.get(name), theirs) for name, theirs in row.scores.items()]
        lines.append(f"  {row.method}: {', '.join(told)}  [{row.source}]")
    return lines


def _told(name: str, ours: float | None, theirs: float) -> str:
    if ours is None or math.isnan(ours):
        return f"{name} – - {theirs:.1f}"
    return f"{name} {100 * ours:.1f} - {theirs:.1f} = {100 * ours - theirs:+.1f}"

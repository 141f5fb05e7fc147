"""What a run reports: result.json's content, and the table in the terminal."""

import math
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from ditta_jax.metrics.scores import Scores
from ditta_jax.runs.video_record import VideoRecord

METHOD_NAMES = {"iss": "frozen student", "ditta": "DiTTA"}
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "opencv-python-headless", "torch", "sam2")


def result(
    records: Sequence[VideoRecord], classes: Sequence[str], config: Mapping[str, Any]
) -> dict[str, Any]:
    """The content of result.json.

    Scores are fractions; over several videos they come from one confusion matrix and one mean
    over all windows, not from a mean of the videos' scores. Undefined scores are null.
    """
    methods = list(dict.fromkeys(method for record in records for method in record.scores))
    totals = {
        method: _total([r.scores[method] for r in records if method in r.scores])
        for method in methods
    }
    return without_nan(
        {
            "methods": {
                m: total.result() | _per_class(total, classes) for m, total in totals.items()
            },
            "videos": [_video(record) for record in records],
            "environment": environment(),
            "config": config,
        }
    )


def _total(scores: Sequence[Scores]) -> Scores:
    total = scores[0]
    for other in scores[1:]:
        total = total + other
    return total


def _per_class(scores: Scores, classes: Sequence[str]) -> dict[str, Any]:
    """IoU per class that is in the ground truth."""
    iou = scores.class_iou().tolist()
    return {"class_iou": {n: v for n, v in zip(classes, iou, strict=True) if not math.isnan(v)}}


def _video(record: VideoRecord) -> dict[str, Any]:
    scores = {method: sums.result() for method, sums in record.scores.items()}
    return record._asdict() | {"scores": scores}


def environment() -> dict[str, Any]:
    """Versions, devices, cores and the commit: what timings and last digits depend on."""
    import jax

    devices = jax.devices()
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version for name in _PACKAGES if (version := _version(name))},
        "devices": f"{len(devices)} x {devices[0].device_kind} ({devices[0].platform})",
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "commit": _commit(),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The repository's commit, "-dirty" appended where files differ from it; None outside git."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--dirty"]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return run.stdout.strip()


def without_nan(value: Any) -> Any:
    """The same nested value as JSON can hold it: NaN and infinities as None, no numpy scalars."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def print_table(result: Mapping[str, Any], console: Console | None = None) -> None:
    """Print the methods' scores in percent, and what the last method gains over the first."""
    methods = result["methods"]
    columns = [name for name in next(iter(methods.values()), {}) if name != "class_iou"]
    table = Table(title=_title(result["videos"]), title_justify="left")
    table.add_column("method")
    for name in columns:
        table.add_column(f"{name} %", justify="right")
    for method, scores in methods.items():
        cells = [_percent(scores[name]) for name in columns]
        table.add_row(METHOD_NAMES.get(method, method), *cells)
    if len(methods) > 1:
        first, *_, last = methods.values()
        table.add_section()
        table.add_row("gain", *(_gain(first[name], last[name]) for name in columns))
    (console or Console()).print(table)


def _title(videos: Sequence[Mapping[str, Any]]) -> str:
    scored = sum(video["scored"] for video in videos)
    return f"{len(videos)} video{'s' if len(videos) != 1 else ''}, {scored} scored frames"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def _gain(before: float | None, after: float | None) -> str:
    return "-" if before is None or after is None else f"{100 * (after - before):+.2f}"

"""What a run reports: the content of result.json."""

import math
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from ditta_jax.methods import registry
from ditta_jax.metrics.scores import Scores
from ditta_jax.runs import memory
from ditta_jax.runs.result_table import percent
from ditta_jax.runs.timeline import overlap
from ditta_jax.runs.video_record import VideoRecord

# SAM 2's module comes from either of the last two.
_PACKAGES = (
    *("jax", "jaxlib", "flax", "optax", "numpy", "opencv-python-headless"),
    *("torch", "sam2", "rf-sam-2"),
)


def result(
    records: Sequence[VideoRecord],
    classes: Sequence[str],
    config: Mapping[str, Any],
    failures: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The content of result.json.

    Scores are fractions; over several videos they come from one confusion matrix and one mean
    over all windows, not from a mean of the videos' scores. Undefined scores are null.

    Args:
        records: of the videos that are done.
        classes: names, in label order.
        config: the settings.
        failures: of the videos that are not done, what a person was told.
    """
    methods = list(dict.fromkeys(name for record in records for name in record.methods))
    return without_nan(
        {
            "methods": {name: _method(name, records, classes) for name in methods},
            "videos": [_video(record) for record in records],
            "failed": dict(failures or {}),
            "overlap": overlap([record.timeline for record in records if record.timeline]),
            "peak_memory": peak_memory(),
            "environment": environment(),
            "config": config,
        }
    )


def _method(name: str, records: Sequence[VideoRecord], classes: Sequence[str]) -> dict[str, Any]:
    """One method over all videos: its scores, its cost, and where it is not itself."""
    own = [record.methods[name] for record in records if name in record.methods]
    scores = [record.scores[name] for record in records if name in record.scores]
    kept = {r.name: r.methods[name]["kept_frozen"] for r in records if name in r.methods}
    speeds = [method["frames_per_second"] for method in own if method["frames_per_second"]]
    told = {
        "title": registry.named(name).title if name in registry.known() else name,
        "protocol": own[0]["protocol"],
        "frames_per_second": len(speeds) / sum(1 / s for s in speeds) if speeds else None,
        "preparation_seconds": sum(method["preparation_seconds"] for method in own) / len(own),
        "teacher_seconds": _mean([method.get("teacher_seconds") for method in own]),
        "peak_bytes": _peak(own),
        "kept_frozen": {video: reason for video, reason in kept.items() if reason is not None},
    }
    if not scores:
        return told
    total = _total(scores)
    return total.result() | _per_class(total, classes) | told


def _mean(values: Sequence[float | None]) -> float | None:
    """None where one of them is not known."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _peak(own: Sequence[Mapping[str, Any]]) -> int | None:
    """Most memory that a method held while it learnt, where nothing was compiled meanwhile."""
    known = [method for method in own if method.get("peak_bytes")]
    still = [method for method in known if not method["compile_seconds"]]
    return max((method["peak_bytes"] for method in still or known), default=None)


def peak_memory() -> dict[str, Any]:
    """Most memory that this process has held, and of what: device memory where it is told."""
    device = memory.of_device()
    if device is not None:
        return {"bytes": device, "of": "memory of the first device"}
    most = memory.of_process()
    if most is None:
        return {"bytes": None, "of": "not known on this system"}
    return {"bytes": most, "of": "resident memory of this process, the teacher's apart"}


def so_far(records: Iterable[VideoRecord]) -> str:
    """The last method's mIoU over the videos that are done, in a word; empty without any truth."""
    scores = [next(reversed(record.scores.values())) for record in records if record.scores]
    if not scores:
        return ""
    return f"mIoU {percent(without_nan(_total(scores).result()['mIoU']))} so far"


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

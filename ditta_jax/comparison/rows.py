"""From the cells' results to the rows of the table: one a variant, warm-up and method."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from ditta_jax.comparison.cells import BASE, Cell, folder_of
from ditta_jax.comparison.interval import paired_interval
from ditta_jax.methods import registry
from ditta_jax.methods.protocol import MASKLETS, TRACKS
from ditta_jax.metrics.scores import Scores
from ditta_jax.runs.run_folder import RunFolder
from ditta_jax.runs.segmentation import FROZEN
from ditta_jax.runs.video_record import VideoRecord


class Done(NamedTuple):
    """A cell that ran.

    Attributes:
        cell: the cell.
        result: the content of its result.json.
        records: of its videos that are done, by name.
    """

    cell: Cell
    result: Mapping[str, Any]
    records: Mapping[str, VideoRecord]


def done_cell(cell: Cell, result: Mapping[str, Any]) -> Done:
    """A cell with its videos' records, which hold the sums that scores follow from.

    Raises:
        UserError: a record is gone or damaged.
    """
    run = RunFolder(folder_of(cell.config), cell.config.to_dict(), (), ())
    names = [video["name"] for video in result["videos"]]
    return Done(cell, result, {name: run.read_finished(name) for name in names})


def rows_of(config: ConfigDict, done: Sequence[Done]) -> list[dict[str, Any]]:
    """The table's rows, variant by variant, warm-up by warm-up, in the order of the methods."""
    rows = []
    for variant, percent in dict.fromkeys((own.cell.variant, own.cell.percent) for own in done):
        here = [own for own in done if (own.cell.variant, own.cell.percent) == (variant, percent)]
        reference = _frozen(done, variant, percent)
        for method in dict.fromkeys(name for own in here for name in own.result["methods"]):
            cells = [own for own in here if method in own.result["methods"]]
            rows.append(_row(config, method, cells, reference))
    return rows


def _frozen(done: Sequence[Done], variant: str, percent: float) -> Done | None:
    """The cell whose frozen student a variant's methods are compared with: its own, or the base's.

    None where that cell failed.
    """
    cells = {own.cell.variant: own for own in reversed(done) if own.cell.percent == percent}
    for name in (variant, BASE):
        if name in cells and FROZEN in cells[name].result["methods"]:
            return cells[name]
    return None


def _row(
    config: ConfigDict, method: str, cells: Sequence[Done], reference: Done | None
) -> dict[str, Any]:
    told = [own.result["methods"][method] for own in cells]
    first = cells[0].cell
    failed = {video: text for own in cells for video, text in own.result["failed"].items()}
    kept = {video: text for own in told for video, text in own["kept_frozen"].items()}
    return {
        "variant": first.variant,
        "percent": first.percent,
        "method": method,
        "title": told[0]["title"],
        "protocol": told[0]["protocol"],
        "seeds": [own.cell.seed for own in cells],
        "videos": min(len(own.records) for own in cells),
        "failed": failed,
        "kept_frozen": kept,
        "scores": {name: _spread([own.get(name) for own in told]) for name in _scores(told[0])},
        "to_frozen": _to_frozen(config, method, cells, reference),
        "frames_per_second": _mean(own["frames_per_second"] for own in told),
        "preparation_seconds": _mean(own["preparation_seconds"] for own in told),
        **_teacher(method, cells[0]),
        "peak_bytes": max((own["peak_bytes"] or 0 for own in told), default=0) or None,
    }


def _scores(told: Mapping[str, Any]) -> list[str]:
    return [name for name in told if name in ("mIoU", "wIoU") or name.startswith("mVC")]


def _spread(values: Sequence[float | None]) -> dict[str, Any]:
    """Mean and sample standard deviation over seeds; None where there is nothing to say."""
    known = [value for value in values if value is not None]
    return {
        "mean": statistics.fmean(known) if known else None,
        "deviation": statistics.stdev(known) if len(known) > 1 else None,
        "each": list(values),
    }


def _mean(values: Iterator[float | None] | Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _to_frozen(
    config: ConfigDict, method: str, cells: Sequence[Done], reference: Done | None
) -> dict[str, Any]:
    """Per score, the mean difference to the frozen student with its interval over videos.

    Over the videos that all these cells and the frozen student's have done and can score.
    """
    if reference is None or method == FROZEN:
        return {}
    pairs = [(own.records, method) for own in cells] + [(reference.records, FROZEN)]
    shared = [
        video
        for video in reference.records
        if all(video in records and name in records[video].scores for records, name in pairs)
    ]
    if not shared:
        return {}
    *others, frozen = ([records[v].scores[name] for v in shared] for records, name in pairs)
    intervals = paired_interval(
        frozen, others, config.seed, config.compare.resamples, config.compare.confidence
    )
    before, after = _total(frozen), [_total(own) for own in others]
    found = {}
    for name, interval in intervals.items():
        low, high = interval or (None, None)
        mean = statistics.fmean(own[name] for own in after) - before[name]
        found[name] = {"mean": mean, "low": low, "high": high, "videos": len(shared)}
    return found


def _total(scores: Sequence[Scores]) -> dict[str, float]:
    return sum(scores[1:], start=scores[0]).result()


def _teacher(method: str, own: Done) -> dict[str, Any]:
    """How many videos the teacher was asked about for a method, and how long it worked on them."""
    if not registry.named(method).needs & {MASKLETS, TRACKS}:
        return {"teacher_calls": 0, "teacher_seconds": 0.0}
    told = [record.methods[method].get("teacher_seconds") for record in own.records.values()]
    known = [seconds for seconds in told if seconds is not None]
    return {"teacher_calls": len(known), "teacher_seconds": sum(known)}

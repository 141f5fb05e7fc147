"""Curves, pictures and words for TensorBoard, of a run and of another one beside it.

<run>/tensorboard/<video>/             one folder a video, written when the video is done
<run>/tensorboard/<video>/reference/   the same video in the run that `report.reference` names
<run>/tensorboard-results/             all videos together, and the same of the reference

Tags do not change from run to run, so that TensorBoard draws runs into one chart:

loss/<method>/<term>      by step of adaptation
frame/<method>/<curve>    by frame: what the page's curves show
score/<method>/<score>    of the video, or of all
overlay                   pictures, in order
settings, results, failed words
"""

import importlib.util
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from ditta_jax.errors import UserError
from ditta_jax.files import parse_json, unseal, writing
from ditta_jax.metrics.scores import Scores
from ditta_jax.names import file_name
from ditta_jax.runs.page import film, run_data

RESULTS = "tensorboard-results"
_NO_TERM = ("video", "method", "pass", "frame")
_PACKAGE = "tensorboardX"

Add = Callable[[Any, int], None]


def check(report: Any) -> None:
    """Report what would keep TensorBoard's files from being written, before any work is done.

    Args:
        report: the section of the configuration.

    Raises:
        UserError: the package is not installed, or the reference is no run, or one whose result
            somebody has edited.
    """
    if not report.tensorboard:
        return
    if importlib.util.find_spec(_PACKAGE) is None:
        raise UserError(
            f"report.tensorboard needs the package {_PACKAGE}: pip install {_PACKAGE}, or set "
            "report.tensorboard to False"
        )
    if report.reference and not (Path(report.reference) / "videos").is_dir():
        raise UserError(
            f"report.reference: {report.reference} holds no finished video; name the folder of a "
            "run, such as runs/demo"
        )
    if report.reference and (Path(report.reference) / "result.json").exists():
        run_data.told(run_data.read_run(Path(report.reference)))


def write_video(run: Path, video: str, scores: Mapping[str, Scores], reference: str = "") -> None:
    """Write what there is of a video, in place of what an earlier attempt wrote.

    Args:
        run: the run's folder; the video's losses, film and overlays are there.
        video: its name.
        scores: by method; empty without a ground truth.
        reference: folder of another run; nothing is written of a video that it has not done.

    Raises:
        UserError: the files cannot be written.
    """
    place = run / "tensorboard" / file_name(video)
    with _events(place) as add:
        _add_video(add, run, video, scores)
    if reference:
        other = Path(reference)
        known = _scores_in(other / "videos" / f"{file_name(video)}.json")
        if known is not None:
            with _events(place / "reference") as add:
                _add_video(add, other, video, known)


def write_results(run: Path, result: Mapping[str, Any], reference: str = "") -> None:
    """Write what there is of all videos together.

    Args:
        run: the run's folder.
        result: the content of its result.json.
        reference: folder of another run.

    Raises:
        UserError: the files cannot be written.
    """
    with _events(run / RESULTS) as add:
        _add_results(add, result)
    if reference:
        try:
            other = parse_json((Path(reference) / "result.json").read_bytes())
        except (OSError, ValueError):
            return  # not finished: its videos are shown, one by one
        with _events(run / RESULTS / "reference") as add:
            _add_results(add, other)


# ---------------------------------------------------------------------------- what is added


def _add_video(add: Add, run: Path, video: str, scores: Mapping[str, Scores]) -> None:
    from tensorboardX import summary

    _add_losses(add, _rows(run / "losses" / f"{file_name(video)}.jsonl"))
    for method, sums in scores.items():
        _add_scores(add, method, sums.result())
    shown = film.read(run / "film" / f"{file_name(video)}.json") or {"curves": {}, "first": 0}
    for name, curves in shown["curves"].items():
        for method, values in curves.items():
            for frame, value in enumerate(values, start=shown["first"]):
                if value is not None:
                    add(summary.scalar(f"frame/{method}/{name}", float(value)), frame)
    for order, path in enumerate(sorted((run / "overlays" / file_name(video)).glob("*.png"))):
        add(_picture("overlay", path), order)


def _add_losses(add: Add, rows: Iterable[Mapping[str, Any]]) -> None:
    """One curve per method and term, one point a step; a missing term leaves a gap."""
    from tensorboardX import summary

    steps: Counter[str] = Counter()
    for row in rows:
        method = f"{row['method']}/" if "method" in row else ""
        for term, value in row.items():
            if term not in _NO_TERM and value is not None:
                add(summary.scalar(f"loss/{method}{term}", float(value)), steps[method])
        steps[method] += 1


def _add_results(add: Add, result: Mapping[str, Any]) -> None:
    from tensorboardX import summary

    for method, own in result["methods"].items():
        _add_scores(add, method, run_data.scores_of(own))
    add(summary.text("results", _table(result["methods"])), 0)
    settings = run_data.flat(result.get("config") or {})
    lines = [f"| `{key}` | `{value}` |" for key, value in settings.items()]
    add(summary.text("settings", "\n".join(["| setting | value |", "|---|---|", *lines])), 0)
    failed = [f"* {video}: {why}" for video, why in (result.get("failed") or {}).items()]
    add(summary.text("failed", "\n".join(failed) or "none"), 0)


def _add_scores(add: Add, method: str, scores: Mapping[str, float | None]) -> None:
    from tensorboardX import summary

    for name, value in scores.items():
        if value is not None and value == value:  # NaN: what a video has none of
            add(summary.scalar(f"score/{method}/{name}", float(value)), 0)


def _table(methods: Mapping[str, Mapping[str, Any]]) -> str:
    """The methods' scores in percent, as Markdown."""
    names = list(dict.fromkeys(n for own in methods.values() for n in run_data.scores_of(own)))
    lines = [f"| method | {' | '.join(f'{n} %' for n in names)} |", "|---" * (len(names) + 1) + "|"]
    for method, own in methods.items():
        cells = ["-" if own.get(n) is None else f"{100 * own[n]:.2f}" for n in names]
        lines.append(f"| {own.get('title', method)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _picture(tag: str, path: Path) -> Any:
    """A summary of a picture as it lies on disk."""
    from tensorboardX.proto.summary_pb2 import Summary

    with Image.open(path) as picture:
        width, height = picture.size
    image = Summary.Image(
        height=height, width=width, colorspace=3, encoded_image_string=path.read_bytes()
    )
    return Summary(value=[Summary.Value(tag=tag, image=image)])


# ---------------------------------------------------------------------------- files


@contextmanager
def _events(place: Path) -> Iterator[Add]:
    """A fresh file of events in a folder; what is added has a step.

    Written here and not by `SummaryWriter`'s thread, which waits for ever once the disk is full.
    """
    from tensorboardX import event_file_writer
    from tensorboardX.proto import event_pb2

    with writing(place):
        place.mkdir(parents=True, exist_ok=True)
        for earlier in place.glob("events.*"):
            earlier.unlink()
        writer = event_file_writer.EventsWriter(str(place / "events"))

        def add(summary: Any, step: int) -> None:
            event = event_pb2.Event(wall_time=time.time(), step=step, summary=summary)
            writer.write_event(event)

        yield add
        writer.close()


def _rows(path: Path) -> list[dict[str, Any]]:
    """The losses of a video's steps; none where there is no such file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def _scores_in(record: Path) -> dict[str, Scores] | None:
    """The scores in the record of a finished video; None where there is none."""
    try:
        scores = unseal(record.read_bytes())["scores"]
        return {method: Scores.from_json(sums) for method, sums in scores.items()}
    except (OSError, ValueError, KeyError):
        return None

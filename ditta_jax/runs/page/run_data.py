"""Reads the folders of runs into what a page shows: plain JSON values, no pictures yet."""

import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from ditta_jax.errors import UserError
from ditta_jax.files import parse_json, unseal
from ditta_jax.metrics.scores import Scores
from ditta_jax.names import file_name
from ditta_jax.runs.page import film

log = logging.getLogger(__name__)

_MOST_POINTS = 400  # of a loss curve
_SCORES = ("mIoU", "wIoU", "mVC")  # how the names of scores begin
_OLD_TITLES = {"iss": "frozen student", "frozen": "frozen student", "ditta": "DiTTA"}


class Run(NamedTuple):
    """One run, read.

    Attributes:
        name: of its folder.
        path: its folder.
        result: the content of result.json.
        losses: per video, one row a step.
        films: which videos have a film; read one by one, since they are large.
    """

    name: str
    path: Path
    result: dict[str, Any]
    losses: dict[str, list[dict[str, Any]]]
    films: dict[str, Path]


def read_run(path: Path) -> Run:
    """A finished run's folder.

    Raises:
        UserError: there is no such folder, or no result in it.
    """
    if not path.is_dir():
        raise UserError(f"{path}: no such folder; name the folder of a run, such as runs/demo")
    try:
        result = parse_json((path / "result.json").read_bytes())
    except FileNotFoundError:
        raise UserError(
            f"{path}: no result.json in it; it is no run, or one that is not finished: "
            "run its command again"
        ) from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path / 'result.json'}: {error}") from None
    if not isinstance(result, dict) or not {"methods", "videos"} <= set(result):
        raise UserError(f"{path / 'result.json'}: not the result of a run: no methods, no videos")
    with _as_written(path):
        videos = [video["name"] for video in result["videos"]]
        films = {v: path / "film" / f"{file_name(v)}.json" for v in videos}
    return Run(
        path.resolve().name,
        path,
        result,
        _losses(path / "losses.jsonl"),
        {video: file for video, file in films.items() if file.is_file()},
    )


@contextmanager
def _as_written(run: Path) -> Iterator[None]:
    """Say of a result that somebody has edited that it is not what a run writes."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:100]
        raise UserError(
            f"{run / 'result.json'}: not as a run writes it ({reason}); run its command again"
        ) from error


def told(run: Run) -> dict[str, Any]:
    """What a page says of a run besides its films.

    Raises:
        UserError: its result is not as a run writes it.
    """
    with _as_written(run.path):
        return _told(run)


def _told(run: Run) -> dict[str, Any]:
    methods = {
        name: {
            "title": own.get("title") or _OLD_TITLES.get(name, name),
            "scores": scores_of(own),
            "class_iou": own.get("class_iou", {}),
            "kept_frozen": own.get("kept_frozen") or {},
            "frames_per_second": own.get("frames_per_second"),
            "preparation_seconds": own.get("preparation_seconds"),
        }
        for name, own in run.result["methods"].items()
    }
    return {
        "name": run.name,
        "methods": methods,
        "videos": [_video(run, video) for video in run.result["videos"]],
        "failed": run.result.get("failed") or {},
        "overlap": run.result.get("overlap") or {},
        "environment": run.result.get("environment") or {},
        "losses": {video: _curves(rows) for video, rows in run.losses.items()},
        "settings": flat(run.result.get("config") or {}),
    }


def scores_of(values: Mapping[str, Any]) -> dict[str, float | None]:
    """Those of the values that are scores, by name."""
    found = {name: value for name, value in values.items() if name.startswith(_SCORES)}
    for name, value in found.items():
        if value is not None and not 0 <= value <= 1:
            raise ValueError(f"{name}: {value!r}")
    return found


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as `section.key`."""
    out: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            out |= flat(value, f"{prefix}{key}.")
        else:
            out[prefix + key] = value
    return out


def differing(runs: Sequence[Mapping[str, Any]], default: Mapping[str, Any]) -> dict[str, list]:
    """Settings in which runs differ from each other, or a single one from the default."""
    keys = dict.fromkeys(key for run in runs for key in run["settings"])
    where = ("name", "output")
    rows = {key: [run["settings"].get(key) for run in runs] for key in keys if key not in where}
    if len(runs) == 1:
        return {
            key: [_plain(default.get(key)), *row]
            for key, row in rows.items()
            if _plain(default.get(key)) != row[0]
        }
    return {key: row for key, row in rows.items() if any(value != row[0] for value in row)}


def _plain(value: Any) -> Any:
    """The value as it is after JSON: tuples are lists."""
    return json.loads(json.dumps(value))


def _video(run: Run, video: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("name", "frames", "warmup", "scored", "size", "seconds", "details")
    shown = {key: video.get(key) for key in keys}
    shown["scores"] = {m: scores_of(own) for m, own in (video.get("scores") or {}).items()}
    shown["class_iou"] = _class_iou(run, video["name"])
    shown["methods"] = video.get("methods") or {}
    shown["timeline"] = video.get("timeline") or None
    return shown


def _class_iou(run: Run, video: str) -> dict[str, list[float | None]]:
    """IoU of every class in one video, from the sums in its record; empty without one."""
    path = run.path / "videos" / f"{file_name(video)}.json"
    try:
        record = unseal(path.read_bytes())
        scores = {m: Scores.from_json(sums) for m, sums in record["scores"].items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s: %s; the page has no scores by class of this video", path, error)
        return {}
    return {
        method: [None if math.isnan(v) else round(v, 5) for v in sums.class_iou().tolist()]
        for method, sums in scores.items()
    }


def _losses(path: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of losses.jsonl by video; a line that an interrupted run tore is left out."""
    rows: dict[str, list[dict[str, Any]]] = {}
    if not path.is_file():
        return rows
    torn = 0
    for line in path.read_text(errors="replace").splitlines():
        try:
            row = parse_json(line.encode())
            rows.setdefault(row.pop("video"), []).append(row)
        except (ValueError, KeyError, AttributeError, TypeError):
            torn += 1
    if torn:
        log.warning("%s: damaged lines, %d in all; the page leaves them out", path, torn)
    return rows


def _curves(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, list[float | None]]]:
    """Per method (empty: the only one) and term of the loss, one value a step."""
    curves: dict[str, dict[str, list[float | None]]] = {}
    by_method: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_method.setdefault(str(row.get("method", "")), []).append(row)
    for method, own in by_method.items():
        taken = own[:: max(1, -(-len(own) // _MOST_POINTS))]
        terms = dict.fromkeys(key for row in taken for key in row)
        curves[method] = {
            term: [_short(row.get(term)) for row in taken]
            for term in terms
            if term not in ("method", "pass", "frame")
        }
    return curves


def _short(value: Any) -> float | None:
    """Four significant digits: more than a curve shows."""
    return float(f"{value:.4g}") if isinstance(value, int | float) else None


def read_film(run: Run, video: str) -> dict[str, Any] | None:
    """A video's film, or None, with a word where it cannot be used."""
    if video not in run.films:
        return None
    found = film.read(run.films[video])
    if found is None:
        log.warning("%s: damaged; the page has no pictures of this video", run.films[video])
    return found

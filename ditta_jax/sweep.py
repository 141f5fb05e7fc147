"""Adapt every video under many settings at once.

    python -m ditta_jax.sweep --config configs/demo.py --grid tta.lr=1e-4,3e-4,1e-3

One compiled program adapts a video under all K settings, another segments the rest of it: frames
are decoded and encoded once, and the masklets are those of `ditta_jax.adapt`. Several --grid
options make their product. Results: a table, and `<output>/<name>/sweep.json`.
"""

import itertools
import json
import math
from pathlib import Path

from ml_collections import ConfigDict

from ditta_jax.adapt import (
    Work,
    ask_teacher,
    check_settings,
    open_work,
    teacher_answer,
)
from ditta_jax.configuration import check_value, from_command_line
from ditta_jax.errors import UserError, run

# Numbers that a compiled program takes as arguments, or that act before it.
SWEPT = tuple(f"tta.{n}" for n in ("lr", "beta1", "beta2", "eps", "weight_decay", "momentum")) + (
    "vote.area_power",
    "vote.frequency_power",
)
MOST_SETTINGS = 1000  # in one sweep; all of them are in memory at once


def main() -> None:
    """Read settings and grid, and sweep."""
    config, options = from_command_line(
        "ditta_jax.sweep", {"grid": "KEY=VALUE,VALUE,…; may be repeated"}
    )
    grid = read_grid(options["grid"])
    check_settings(config)

    from ditta_jax.algorithm import precision
    from ditta_jax.runs import devices

    devices.prepare(compute=config.precision.compute, matmul=config.precision.matmul)
    with precision.policy(**config.precision):
        sweep(config, grid)


def read_grid(texts: list[str]) -> list[dict[str, float]]:
    """The product of `KEY=VALUE,VALUE,…` options: one dict of settings per combination.

    Raises:
        UserError: no grid, a key that cannot be swept or comes twice, a value that is no number
            or out of range, too many settings.
    """
    if not texts:
        raise UserError("--grid: name what to vary, e.g. --grid tta.lr=1e-4,3e-4,1e-3")
    axes: dict[str, list[float]] = {}
    for text in texts:
        key, _, values = text.partition("=")
        key = key.strip()
        if key not in SWEPT:
            raise UserError(
                f"--grid {text}: {key!r} cannot be swept; these can: {', '.join(SWEPT)}"
            )
        if key in axes:
            raise UserError(f"--grid {text}: {key} is given twice; give all its values in one")
        axes[key] = [_swept(key, value, f"--grid {text}") for value in values.split(",")]
        if len(set(axes[key])) < len(axes[key]):
            raise UserError(f"--grid {text}: a value is given twice")
    settings = math.prod(map(len, axes.values()))
    if settings > MOST_SETTINGS:
        raise UserError(f"--grid: {settings} settings, at most {MOST_SETTINGS} in one sweep")
    return [dict(zip(axes, choice, strict=True)) for choice in itertools.product(*axes.values())]


def _swept(key: str, text: str, where: str) -> float:
    """One value of a grid, in its setting's range."""
    try:
        value = float(text)
    except ValueError as error:
        raise UserError(f"{where}: {error}; write {key}=1e-4,3e-4") from error
    return float(check_value(key, value, where))


def with_settings(config: ConfigDict, settings: dict[str, float]) -> ConfigDict:
    """A copy of the configuration with some numbers changed."""
    copy = config.copy_and_resolve_references()
    with copy.unlocked():
        copy.update_from_flattened_dict(settings)
    return copy


def sweep(config: ConfigDict, grid: list[dict[str, float]]) -> list[dict]:
    """Scores of all videos under every setting; returns what sweep.json holds."""
    from ditta_jax.files import write_atomically
    from ditta_jax.metrics.scores import no_scores
    from ditta_jax.runs import results
    from ditta_jax.runs.progress import RunProgress

    work = open_work(config)
    entries = ask_teacher(work)
    configs = [with_settings(config, settings) for settings in grid]
    totals = [no_scores(len(work.classes), tuple(config.metrics.windows))] * (len(grid) + 1)
    with RunProgress(len(work.videos)) as progress:
        for index, name in enumerate(work.videos.names):
            with progress.video(name):
                scores = sweep_video(work, work.videos[index], entries[name], configs, progress)
            totals = [total + own for total, own in zip(totals, scores, strict=True)]
    names = ["frozen student", *(" ".join(f"{k}={v:g}" for k, v in s.items()) for s in grid)]
    rows = [
        {"setting": name} | results.without_nan(total.result())
        for name, total in zip(names, totals, strict=True)
    ]
    path = Path(config.output) / config.name / "sweep.json"
    write_atomically(path, (json.dumps(rows, indent=1) + "\n").encode())
    _print(rows)
    print(f"results in {path}")
    return rows


def sweep_video(work: Work, video, entry: Path, configs: list[ConfigDict], progress) -> list:
    """Scores of one video: of the frozen student, then of every configuration.

    Raises:
        UserError: the video has no labels.
    """
    from ditta_jax.metrics.scores import VideoScores
    from ditta_jax.runs import stages

    if video.labels is None:
        raise UserError(f"{video.name}: a sweep compares scores, and this video has no labels")
    C, windows = len(work.classes), tuple(work.config.metrics.windows)
    with progress.stage("A: student on the warm-up frames") as advance:
        frozen = stages.label_warm_up(work.model, video, work.config, advance)
        masklets = teacher_answer(work, video, entry)
        targets = [stages.targets_of(masklets, frozen, C, own) for own in configs]
    with progress.stage(f"C: adaptation under {len(configs)} settings"):
        networks = stages.adapt_under_settings(work.model, frozen, targets, configs, video.name)
    scores = [VideoScores(C, windows) for _ in range(len(configs) + 1)]
    first = stages.first_scored(len(video.frames), work.config.warmup.percent)
    with progress.stage("D: segmentation", len(video.frames) - first) as advance:
        for out in stages.segment_rest_under_settings(
            work.model, networks, frozen, video, work.config
        ):
            truth = video.labels[out.index]
            for total, prediction in zip(scores, [out.frozen, *out.adapted], strict=True):
                total.update(prediction, truth)
            advance()
    return [total.finish() for total in scores]


def _print(rows: list[dict]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for column in rows[0]:
        table.add_column(column, justify="left" if column == "setting" else "right")
    for row in rows:
        numbers = (v for k, v in row.items() if k != "setting")
        table.add_row(row["setting"], *("-" if v is None else f"{100 * v:.2f}" for v in numbers))
    Console().print(table)


if __name__ == "__main__":
    run(main)

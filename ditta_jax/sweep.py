"""Adapt every video under many settings at once.

    python -m ditta_jax.sweep --config configs/demo.py --grid tta.lr=1e-4,3e-4,1e-3

One compiled program adapts a video under all K settings, another segments the rest of it: frames
are decoded and encoded once, and the masklets are those of `ditta_jax.adapt`. Several --grid
options make their product. Results: a table, and `<output>/<name>/sweep.json`. An interrupted sweep
goes on where it was, and another grid computes only what no earlier one did.
"""

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_collections import ConfigDict

from ditta_jax.configuration import check_value, from_command_line
from ditta_jax.errors import UserError, run

if TYPE_CHECKING:  # the settings are read before these, and what they import, are loaded
    from ditta_jax.algorithm.settings import Settings
    from ditta_jax.data.video import Video
    from ditta_jax.methods.protocol import WarmUp
    from ditta_jax.runs.failures import Failures
    from ditta_jax.runs.progress import RunProgress
    from ditta_jax.runs.sweep_records import Swept
    from ditta_jax.runs.work import Work

# Numbers that a compiled program takes as arguments, or that act before it.
SWEPT = tuple(f"tta.{n}" for n in ("lr", "beta1", "beta2", "eps", "weight_decay", "momentum")) + (
    "vote.area_power",
    "vote.frequency_power",
)
MOST_SETTINGS = 1000  # in one sweep; all of them are in memory at once


def main() -> int:
    """Read settings and grid, and sweep."""
    config, options = from_command_line(
        "ditta_jax.sweep",
        {"grid": "KEY=VALUE,VALUE,…; may be repeated"},
        switches={"quiet": "no progress: only errors and the results"},
    )
    grid = read_grid(options["grid"])

    from ditta_jax.algorithm import precision
    from ditta_jax.runs import devices, progress, settings

    settings.check(config)
    devices.prepare(
        config.precision.compute, config.precision.matmul, config.parallel.memory_fraction
    )
    with precision.policy(**config.precision), progress.quietly(options["quiet"]):
        rows = sweep(config, grid)
    return 1 if rows[0]["failed"] else 0


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


def with_settings(config: ConfigDict, settings: Mapping[str, Any]) -> ConfigDict:
    """A copy of the configuration with some numbers changed."""
    copy = config.copy_and_resolve_references()
    with copy.unlocked():
        copy.update_from_flattened_dict(settings)
    return copy


def sweep(config: ConfigDict, grid: list[dict[str, float]]) -> list[dict]:
    """Scores of all videos under every setting; returns what sweep.json holds.

    Raises:
        UserError: a setting has a value that does not exist, or no video could be done.
    """
    from ditta_jax.files import refuse_foreign_file, write_atomically
    from ditta_jax.metrics.scores import no_scores
    from ditta_jax.runs import profiling
    from ditta_jax.runs.failures import Failures
    from ditta_jax.runs.foreign_folder import refuse_foreign
    from ditta_jax.runs.lock import FolderLock
    from ditta_jax.runs.progress import RunProgress
    from ditta_jax.runs.settings import settings_of
    from ditta_jax.runs.work import open_work

    for changes in grid:
        settings_of(with_settings(config, changes))  # refused before any work
    work = open_work(with_settings(config, {"methods": ("frozen", "ditta")}))
    folder = Path(config.output) / config.name
    refuse_foreign(folder)
    refuse_foreign_file(folder / "sweep.json", _is_sweep)
    profiling.check(config.profile, work.videos.names)
    with RunProgress(len(work.videos)) as progress:
        failures = Failures(progress.say)
    with FolderLock(folder):
        results = sweep_videos(work, grid, folder / "sweep", failures)
        if not results:
            first, message = next(iter(failures.items()))
            raise UserError(f"no video could be done; {first}: {message}")
        empty = no_scores(len(work.classes), tuple(config.metrics.windows))
        settings = list(zip(*results.values(), strict=True))
        scores = [sum((one.scores for one in own), start=empty).result() for own in settings]
        kept_frozen = [sum(one.kept_frozen is not None for one in own) for own in settings]
        rows = rows_of(grid, scores, kept_frozen, failures)
        path = folder / "sweep.json"
        write_atomically(path, (json.dumps(rows, indent=1) + "\n").encode())
    _print(rows)
    print(f"results in {path}")
    return rows


def _is_sweep(path: Path) -> bool:
    """Whether a file is the result of a sweep."""
    from ditta_jax.files import parse_json

    try:
        rows = parse_json(path.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(rows, list) and all(isinstance(r, dict) and "setting" in r for r in rows)


def sweep_videos(
    work: "Work", grid: list[dict[str, float]], folder: Path, failures: "Failures"
) -> dict[str, list["Swept"]]:
    """Every video under every setting: what is kept in `folder`, and the rest, which is computed.

    Returns:
        by video that could be done: the frozen student's result, then that of every setting.
    """
    from ditta_jax.methods.protocol import MASKLETS
    from ditta_jax.runs import teaching
    from ditta_jax.runs.exchange import Exchange
    from ditta_jax.runs.profiling import traced
    from ditta_jax.runs.progress import RunProgress
    from ditta_jax.runs.settings import settings_of
    from ditta_jax.runs.sweep_records import SweepRecords
    from ditta_jax.runs.warm_ups import WarmUps

    names = work.videos.names
    records = SweepRecords(folder, lambda entry: teaching.digest_in_cache(work, entry))
    keys = keys_of(work, grid, failures)
    found = {name: [records.load(name, key) for key in own] for name, own in keys.items()}
    to_do = [name for name in found if None in found[name]]
    with RunProgress(len(names)) as progress:
        for name in found:
            if name not in to_do:
                progress.skip(name)
    with (
        WarmUps(work.config.parallel.keep_gb * 1e9, Path(work.config.output)) as warm_ups,
        RunProgress(len(names), done=len(names) - len(to_do)) as progress,
        Exchange(work, to_do, warm_ups, failures, progress) as exchange,
    ):
        for name in to_do:
            with progress.video(name):
                exchange.bring([name])
                if name in failures:
                    continue
                with failures.of(name), traced(work, [name], "work"):
                    video, asked = work.videos.named(name), exchange.entries.get(name)
                    warm_up = teaching.label_once(work, video, warm_ups, progress)
                    masks = teaching.masks_of(work, video, warm_up, asked)
                    warm_up = warm_up._replace(masks=masks)
                    missing = [i for i in range(len(grid)) if found[name][i + 1] is None] or [0]
                    settings = [settings_of(with_settings(work.config, grid[i])) for i in missing]
                    swept = sweep_video(work, video, warm_up, settings, progress)
                    kept_in = asked[MASKLETS].name if asked else None
                    for place, own in zip([0, *(i + 1 for i in missing)], swept, strict=True):
                        found[name][place] = own
                        records.save(name, keys[name][place], own, kept_in)
    return {name: [one for one in own if one] for name, own in found.items() if None not in own}


def keys_of(
    work: "Work", grid: list[dict[str, float]], failures: "Failures"
) -> dict[str, list[dict[str, Any]]]:
    """What each result follows from, by video: the frozen student's, then that of every setting."""
    from ditta_jax.runs import finished

    keys = {}
    for index, name in enumerate(work.videos.names):
        with failures.of(name):
            parts = finished.record_parts(work, work.videos[index])
            keys[name] = [parts | {"sweep": "frozen"}, *(parts | own for own in grid)]
    return keys


def rows_of(grid, scores, kept_frozen, failures) -> list[dict]:
    """One row per setting: scores, videos that keep the frozen student's labels, and failed ones.

    A setting under which a video cannot be adapted counts with the frozen student's labels there,
    and says so; the other settings are what they are.
    """
    from ditta_jax.runs import results

    names = ["frozen student", *(" ".join(f"{k}={v:g}" for k, v in s.items()) for s in grid)]
    return [
        {"setting": name}
        | results.without_nan(own)
        | {"kept_frozen": kept, "failed": sorted(failures)}
        for name, own, kept in zip(names, scores, kept_frozen, strict=True)
    ]


def sweep_video(
    work: "Work",
    video: "Video",
    warm_up: "WarmUp",
    settings: Sequence["Settings"],
    progress: "RunProgress",
) -> list["Swept"]:
    """One video under K settings.

    Returns:
        the frozen student's result, then that of every setting.

    Raises:
        UserError: the video has no labels, or no frames to score.
    """
    from ditta_jax.methods import ditta
    from ditta_jax.runs import finished
    from ditta_jax.runs.segmentation import Clocks, Rest, score, segment_rest
    from ditta_jax.runs.sweep_records import Swept

    if video.labels is None:
        raise UserError(f"{video.name}: a sweep compares scores, and this video has no labels")
    finished.check_video(work, video)

    # ------------------------------------------------------------------ B, C
    with progress.stage(f"C: adaptation under {len(settings)} settings", video=video.name):
        prepared, reasons = ditta.prepare_under_settings(work.model, warm_up, settings)

    # ------------------------------------------------------------------ D
    windows = tuple(work.config.metrics.windows)
    scores = [work.scoring.start(windows) for _ in range(len(settings) + 1)]
    methods = list(work.methods.values())
    first = work.first_scored(video)
    start = {"frozen": work.methods["frozen"].prepare(work.model, warm_up, work.settings)}
    start["ditta"] = prepared
    with progress.stage("D: segmentation", len(video.frames) - first, video.name) as advance:
        counting = work.scoring.counting(windows)
        rest = Rest(start, video.frames, first, Clocks(methods), video.labels, counting)
        found = segment_rest(
            work.model, methods, rest, video.size, work.settings, several=["ditta"]
        )
        for out in found:
            score(scores[0], out, "frozen")
            for k, reason in enumerate(reasons):
                kept = reason is not None
                score(scores[k + 1], out, "frozen" if kept else "ditta", None if kept else k)
            advance()
    return [Swept(own.finish(), why) for own, why in zip(scores, [None, *reasons], strict=True)]


def _print(rows: list[dict]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    scores = [name for name in rows[0] if name not in ("setting", "kept_frozen", "failed")]
    table.add_column("setting")
    for name in scores:
        table.add_column(f"{name} %", justify="right")
    for row in rows:
        numbers = ("-" if row[name] is None else f"{100 * row[name]:.2f}" for name in scores)
        table.add_row(row["setting"], *numbers)
    console = Console()
    console.print(table)
    for row in rows:
        if row["kept_frozen"]:
            console.print(
                f"* {row['setting']}: {row['kept_frozen']} videos keep the frozen student's labels:"
                " nothing was learnt there, or what was learnt is not finite",
                soft_wrap=True,
            )
    if rows[0]["failed"]:
        console.print(f"failed, not in the table: {', '.join(rows[0]['failed'])}", soft_wrap=True)


if __name__ == "__main__":
    run(main)

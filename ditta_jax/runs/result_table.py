"""The table of a run's results in the terminal, and what has to be said under it."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from ditta_jax.methods import registry
from ditta_jax.methods.protocol import TRACKS

_MOST_WARNINGS = 20


def print_table(result: Mapping[str, Any], console: Console | None = None) -> None:
    """Print the methods' scores in percent, their cost, and what each gains over the first."""
    methods = result["methods"]
    scores = [name for name in next(iter(methods.values()), {}) if name[0] == "m" or name == "wIoU"]
    table = Table(title=_title(result), title_justify="left")
    table.add_column("method")
    for name in scores:
        table.add_column(f"{name} %", justify="right")
    table.add_column("frames/s", justify="right")
    table.add_column("prepared in", justify="right")
    for method in methods.values():
        cells = [percent(method[name]) for name in scores]
        table.add_row(_name(method), *cells, _speed(method), _preparation(method))
    if len(methods) > 1 and scores:
        first, *others = methods.values()
        table.add_section()
        for other in others:
            name = f"{_title_of(other)} − {_title_of(first)}"
            table.add_row(name, *(_gain(first[score], other[score]) for score in scores), "", "")
    console = console or Console()
    console.print(table)
    for line in _remarks(result):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _name(method: Mapping[str, Any]) -> str:
    """Its title; with a star where the row holds videos in which it is not itself."""
    return _title_of(method) + (" *" if method.get("kept_frozen") else "")


def _title_of(method: Mapping[str, Any]) -> str:
    return f"{method['title']}{', online' if method.get('protocol') == 'online' else ''}"


def _speed(method: Mapping[str, Any]) -> str:
    speed = method.get("frames_per_second")
    return "-" if speed is None else f"{speed:.2f}"


def _preparation(method: Mapping[str, Any]) -> str:
    seconds = method.get("preparation_seconds")
    return "-" if seconds is None else f"{seconds:.2f} s"


def _remarks(result: Mapping[str, Any]) -> Iterator[str]:
    """Lines under the table: videos that count for less than the table seems to say."""
    for method in result["methods"].values():
        for video, reason in method.get("kept_frozen", {}).items():
            yield f"* {video}: {method['title']} keeps the frozen student's labels: {reason}"
    for name, method in result["methods"].items():
        seconds = method.get("teacher_seconds")
        if seconds and name in registry.known() and TRACKS in registry.named(name).needs:
            yield (
                f"{method['title']}: its frames/s leave out the teacher, which tracked through "
                f"whole videos, {seconds:.1f} s each"
            )
    told = [w for v in result["videos"] for w in v.get("details", {}).get("warnings", ())]
    yield from (f"warning: {warning}" for warning in told[:_MOST_WARNINGS])
    if len(told) > _MOST_WARNINGS:
        yield f"warning: and {len(told) - _MOST_WARNINGS} more, see details.warnings in result.json"
    for video, message in result.get("failed", {}).items():
        yield f"failed, not in the table: {video}: {message.removeprefix(f'{video}: ')}"


def _title(result: Mapping[str, Any]) -> str:
    videos, failed = result["videos"], result.get("failed", {})
    scored = sum(video["scored"] for video in videos)
    title = f"{len(videos)} video{'s' if len(videos) != 1 else ''}, {scored} scored frames"
    return title + (f", {len(failed)} failed" if failed else "")


def percent(value: float | None) -> str:
    """A fraction in percent, two digits; a dash where there is none."""
    return "-" if value is None else f"{100 * value:.2f}"


def _gain(before: float | None, after: float | None) -> str:
    return "-" if before is None or after is None else f"{100 * (after - before):+.2f}"

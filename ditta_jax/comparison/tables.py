"""The table of a comparison: as Markdown, and in the terminal."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

_COST = ("frames/s", "prepared in, s", "teacher: videos", "teacher, s", "peak memory, MB")


def markdown(result: Mapping[str, Any]) -> str:
    """The comparison as one table, with what has to be known to read it."""
    head, *body = table(result)
    rule = "|" + "---|" * _words(head) + "---:|" * (len(head) - _words(head))
    lines = ["| " + " | ".join(map(_in_cell, cells)) + " |" for cells in (head, *body)]
    notes = [f"- {line}" for line in notes_of(result)]
    return "\n".join([f"# {result['name']}", "", lines[0], rule, *lines[1:], "", *notes, ""])


def _in_cell(text: str) -> str:
    """Text that does not end the cell of Markdown that it stands in."""
    return text.replace("|", "\\|")


def print_table(result: Mapping[str, Any], console: Console | None = None) -> None:
    """Print the same, scores and cost in a table each, since few terminals are wide enough."""
    rows = table(result)
    console = console or Console()
    if not console.is_terminal:  # whatever reads it has no width
        console.width = max(console.width, 160)
    words, scores = _words(rows[0]), len(rows[0]) - len(_COST)
    for columns in (range(words, scores), range(scores, len(rows[0]))):
        shown, places = Table(), (*range(words), *columns)
        for place in places:
            shown.add_column(rows[0][place], justify="left" if place < words else "right")
        for cells in rows[1:]:
            shown.add_row(*(cells[place] for place in places))
        console.print(shown)
    for line in notes_of(result):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _words(head: Sequence[str]) -> int:
    """Columns that hold words: variant, where there are any, and method."""
    return head.index("method") + 1


def table(result: Mapping[str, Any]) -> list[list[str]]:
    """The cells of head and rows. Scores in percent: mean ± deviation over seeds (difference)."""
    rows = result["rows"]
    scores = list(dict.fromkeys(name for row in rows for name in row["scores"]))
    varied = any(row["variant"] for row in rows)
    head = ["warm-up", *(["variant"] if varied else []), "method"]
    head += [f"{name} %" for name in scores]
    head += [f"{name} to frozen" for name in scores if name == "mIoU"] + list(_COST)
    return [head, *(_cells(row, scores, varied) for row in rows)]


def _cells(row: Mapping[str, Any], scores: Sequence[str], varied: bool) -> list[str]:
    megabytes = row["peak_bytes"] and row["peak_bytes"] / 2**20
    return [
        f"{row['percent']:g} %",
        *([row["variant"] or "as configured"] if varied else []),
        title_of(row),
        *(_score(row["scores"].get(name)) for name in scores),
        *(_difference(row["to_frozen"].get(name)) for name in scores if name == "mIoU"),
        _number(row["frames_per_second"], 2),
        _number(row["preparation_seconds"], 2),
        str(row["teacher_calls"]),
        _number(row["teacher_seconds"], 1),
        _number(megabytes, 0),
    ]


def title_of(row: Mapping[str, Any]) -> str:
    """A method's name in tables; with a star where it is not itself on every video."""
    online = ", online" if row["protocol"] == "online" else ""
    return row["title"] + online + (" *" if row["kept_frozen"] or row["failed"] else "")


def notes_of(result: Mapping[str, Any]) -> Iterator[str]:
    """What has to be known to read the table."""
    rows, share = result["rows"], 100 * result["confidence"]
    videos = max((row["videos"] for row in rows), default=0)
    drawn = sorted({row["title"] for row in rows if len(row["seeds"]) > 1})
    seeds = ", ".join(map(str, result["seeds"]))
    if drawn:
        yield f"Mean ± standard deviation over seeds {seeds} for {', '.join(drawn)}."
    still = sorted({row["title"] for row in rows if len(row["seeds"]) == 1})
    if len(result["seeds"]) > 1 and still:
        yield f"No seed changes anything for {', '.join(still)}: nothing is drawn, one run each."
    if videos > 1:
        yield (
            f"In brackets: {share:g} % interval over the {videos} videos, a paired bootstrap of "
            f"the difference to the frozen student ({result['resamples']} resamples, seed "
            f"{result['seed']})."
        )
    else:
        yield "One video: no interval over videos can be given."
    yield (
        "Frames a second are the student's and the method's own; the teacher's time stands in its "
        "own column, for all videos, preparation for one."
    )
    yield (
        "Peak memory is the process's (on a CPU) or the device's while the method learns from a "
        f"warm-up. {result['environment']['devices']}."
    )
    for row in rows:
        what = f"{row['percent']:g} %, {' '.join(filter(None, (row['variant'], row['title'])))}"
        if row["kept_frozen"]:
            several = f"{len(row['kept_frozen'])} of {row['videos']} videos"
            reason = next(iter(row["kept_frozen"].values()))
            yield f"* {what}: {several} keep the frozen student's labels: {reason}"
        if row["failed"]:
            yield f"* {what}: failed, not in the table: {', '.join(row['failed'])}"
    for title, message in result["failed"].items():
        yield f"failed: {title}: {message}"


def _score(score: Mapping[str, Any] | None) -> str:
    if score is None or score["mean"] is None:
        return "-"
    deviation = score["deviation"]
    return f"{100 * score['mean']:.2f}" + (f" ± {100 * deviation:.2f}" if deviation else "")


def _difference(own: Mapping[str, Any] | None) -> str:
    if own is None:
        return ""
    if own["low"] is None:
        return f"{100 * own['mean']:+.2f}"
    return f"{100 * own['mean']:+.2f} [{100 * own['low']:+.2f}, {100 * own['high']:+.2f}]"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"

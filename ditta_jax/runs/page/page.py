"""One HTML file of one run, or of several side by side: nothing outside it is ever loaded."""

import html
import json
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from ditta_jax.configuration import default_config
from ditta_jax.files import write_atomically
from ditta_jax.runs.page import budget, run_data
from ditta_jax.runs.page.run_data import Run
from ditta_jax.runs.settings import with_teachers_own

GENERATOR = b'<meta name="generator" content="ditta-jax">'  # as the page itself says it


def write_page(runs: Sequence[Path], out: Path, most_bytes: int = budget.MOST_BYTES) -> None:
    """Write the page of these runs.

    Args:
        runs: their folders.
        out: the file.
        most_bytes: of pictures in it; long videos are thinned out, and in runs of very many videos
            the best and the worst ones are shown.

    Raises:
        UserError: a folder holds no finished run.
    """
    write_atomically(out, page_of([run_data.read_run(path) for path in runs], most_bytes).encode())


def is_page(path: Path) -> bool:
    """Whether a file is a page that this program wrote."""
    try:
        with open(path, "rb") as file:
            return GENERATOR in file.read(1000)
    except OSError:
        return False


def page_of(runs: Sequence[Run], most_bytes: int = budget.MOST_BYTES) -> str:
    """The text of the page."""
    told = _with_different_names([run_data.told(run) for run in runs])
    default = run_data.flat(with_teachers_own(default_config()).to_dict())
    data = {
        "runs": told,
        "settings": run_data.differing(told, default),
        "films": _films(runs, told, most_bytes),
    }
    parts = files("ditta_jax.runs.page")
    text = (parts / "page.html").read_text(encoding="utf-8")
    title = " · ".join(run["name"] for run in told)
    content = {
        "{{title}}": html.escape(title),
        "{{style}}": (parts / "page.css").read_text(encoding="utf-8"),
        "{{program}}": _program(parts),
        "{{data}}": _in_script(data),
    }
    # at once: a name that is spelled as one of these stays a name
    return re.sub(r"{{\w+}}", lambda place: content[place[0]], text)


def _program(parts) -> str:
    """The page's programs, one after the other in one scope of their own."""
    names = ("charts.js", "player.js", "timeline.js", "sections.js")
    texts = [(parts / name).read_text(encoding="utf-8") for name in names]
    return "(() => {\n'use strict';\n" + "\n".join(texts) + "\n})();"


def _in_script(data: Any) -> str:
    """JSON that cannot end the element it stands in, whatever a name in it says."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _with_different_names(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same, where runs of one name (in different folders) get numbers."""
    seen: dict[str, int] = {}
    for run in runs:
        seen[run["name"]] = count = seen.get(run["name"], 0) + 1
        if count > 1:
            run["name"] = f"{run['name']} ({count})"
    return runs


def _films(
    runs: Sequence[Run], told: Sequence[Mapping[str, Any]], most_bytes: int
) -> dict[str, Any]:
    """The films of the videos of any run, merged over runs, as many and as long as fit."""
    gains: dict[str, float | None] = {}
    for run in told:
        gains = _gains(run) | gains  # of the first run that has the video
    room = float(most_bytes)
    films: dict[str, Any] = {}
    left = len(gains)
    for video in budget.most_telling(gains):
        film = _merged([run_data.read_film(run, video) for run in runs])
        if film is not None:
            film = budget.thinned(film, max(room / left, most_bytes / 40))
        if film is not None and (size := budget.bytes_of(film)) <= room:
            films[video] = film
            room -= size
        left -= 1
    return films


def _gains(run: Mapping[str, Any]) -> dict[str, float | None]:
    """Per video, the mIoU of the last method less that of the first."""
    gains: dict[str, float | None] = {}
    for video in run["videos"]:
        values = [scores.get("mIoU") for scores in video["scores"].values()]
        known = len(values) > 1 and None not in (values[0], values[-1])
        gains[video["name"]] = values[-1] - values[0] if known else None
    return gains


def _merged(films: Sequence[Mapping[str, Any] | None]) -> dict[str, Any] | None:
    """One film of a video in several runs: labels and curves by run and method.

    A method's key is `<number of the run>/<method>`; pictures are those of the first run that has
    a film, with the labels of other runs where they kept the same frame.
    """
    first = next((film for film in films if film is not None), None)
    if first is None:
        return None
    merged = {key: value for key, value in first.items() if key not in ("pictures", "first")}
    merged["curves"] = {}
    pictures = {p["frame"]: p | {"labels": {}} for p in first["pictures"]}
    for number, film in enumerate(films):
        if film is None or film["picture_size"] != first["picture_size"]:
            continue
        for name, curves in film["curves"].items():
            merged["curves"].setdefault(name, {}).update(
                {
                    f"{number}/{method}": {"first": film["first"], "values": values}
                    for method, values in curves.items()
                }
            )
        alike = film["classes"] == first["classes"]  # else a colour means another thing
        for picture in film["pictures"] if alike else ():
            if picture["frame"] in pictures:
                pictures[picture["frame"]]["labels"] |= {
                    f"{number}/{method}": label for method, label in picture["labels"].items()
                }
    merged["pictures"] = list(pictures.values())
    return merged

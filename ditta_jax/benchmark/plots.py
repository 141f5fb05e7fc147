"""The benchmark's plots: bars and lines as panels of one SVG, drawn by matplotlib."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ditta_jax.files import write_atomically

WIDTH, HEIGHT, COLUMNS = 4.4, 2.5, 2  # of a panel, inches; panels side by side
COLOURS = ("#888888", "#c98b2b", "#b5523b", "#2b6cb0")  # from the first rival to this package
MISSING = "no plot, matplotlib is missing: pip install 'ditta-jax[plots]'"


class Bars(NamedTuple):
    """One bar a name.

    Attributes:
        title: above the panel.
        names: of the bars, the first on top.
        values: their lengths.
        unit: of the values.
    """

    title: str
    names: Sequence[str]
    values: Sequence[float]
    unit: str


class Line(NamedTuple):
    """Measured points joined by a line, both axes from 0.

    Attributes:
        title: above the panel.
        x_name: what the points differ in.
        x: their places.
        y: what was measured there.
        unit: of `y`.
    """

    title: str
    x_name: str
    x: Sequence[float]
    y: Sequence[float]
    unit: str


def draw(path: Path, panels: Sequence[Bars | Line]) -> bool:
    """Write panels as one SVG file.

    Args:
        path: the file.
        panels: at least one.

    Returns:
        whether it was drawn: matplotlib is an extra.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        return False
    rows = -(-len(panels) // COLUMNS)
    # Letters stay letters, and the same figures give the same bytes.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "ditta_jax"}):
        figure = Figure((COLUMNS * WIDTH, rows * HEIGHT), layout="constrained")
        places = figure.subplots(rows, COLUMNS, squeeze=False).flat
        for panel, axes in zip(panels, places, strict=False):
            axes.set_title(panel.title, loc="left")
            axes.spines[["top", "right"]].set_visible(False)
            _bars(axes, panel) if isinstance(panel, Bars) else _line(axes, panel)
        for axes in places:  # the iterator goes on where the panels ended
            axes.set_axis_off()
        data = io.BytesIO()
        figure.savefig(data, format="svg", metadata={"Date": None})
    write_atomically(path, data.getvalue())
    return True


def _bars(axes, panel: Bars) -> None:
    colours = [COLOURS[i % len(COLOURS)] for i in range(len(panel.names))]
    bars = axes.barh(panel.names, panel.values, color=colours)
    axes.bar_label(bars, [f"{value:.3g} {panel.unit}" for value in panel.values], padding=3)
    axes.margins(x=0.25)
    axes.invert_yaxis()


def _line(axes, panel: Line) -> None:
    axes.plot(panel.x, panel.y, "o-", color=COLOURS[-1])
    for x, y in zip(panel.x, panel.y, strict=True):
        axes.annotate(f"{y:.3g}", (x, y), (0, 5), textcoords="offset points", ha="center")
    axes.set_xticks(panel.x)
    axes.set_xlabel(panel.x_name)
    axes.set_ylabel(panel.unit)
    axes.set_xlim(0, max(panel.x) * 1.1)
    axes.set_ylim(0, max(panel.y) * 1.2)

"""The table as people read it, and the points of the plot."""

import io
import sys

import pytest
from rich.console import Console

from ditta_jax.comparison import plot, tables


def row(method, percent=10.0, **changes):
    score = {"mean": 0.5, "deviation": None, "each": [0.5]}
    return {
        **{"variant": "", "percent": percent, "method": method, "title": method.upper()},
        **{"protocol": "freeze", "seeds": [0], "videos": 3, "failed": {}, "kept_frozen": {}},
        "scores": {"mIoU": score, "mVC8": {"mean": None, "deviation": None, "each": [None]}},
        **{"to_frozen": {}, "frames_per_second": 2.0, "preparation_seconds": 4.0},
        **{"teacher_calls": 0, "teacher_seconds": 0.0, "peak_bytes": 300 * 2**20},
    } | changes


def result(*rows, **changes):
    return {
        **{"name": "n", "rows": list(rows), "seeds": [0, 1], "resamples": 200, "confidence": 0.95},
        **{"seed": 0, "failed": {}, "environment": {"devices": "1 x cpu (cpu)"}},
    } | changes


DITTA = row(
    "ditta",
    seeds=[0, 1],
    scores={"mIoU": {"mean": 0.525, "deviation": 0.00125, "each": [0.524, 0.526]}},
    to_frozen={"mIoU": {"mean": 0.025, "low": -0.01, "high": 0.06, "videos": 3}},
    teacher_calls=3,
    teacher_seconds=6.0,
)


def test_markdown_holds_a_line_a_row():
    text = tables.markdown(result(row("frozen"), DITTA))
    assert "| warm-up | method | mIoU % | mVC8 % | mIoU to frozen |" in text
    assert "| 10 % | FROZEN | 50.00 | - |  | 2.00 | 4.00 | 0 | 0.0 | 300 |" in text
    assert "| 10 % | DITTA | 52.50 ± 0.12 | - | +2.50 [-1.00, +6.00] | 2.00 | 4.00 | 3 |" in text
    assert "No seed changes anything for FROZEN: nothing is drawn, one run each." in text
    assert "over seeds 0, 1 for DITTA" in text and "95 % interval over the 3 videos" in text


def test_what_a_row_does_not_say_is_said_below():
    odd = row(
        "ditta",
        variant="small",
        protocol="online",
        kept_frozen={"v": "no object"},
        failed={"w": "w: damaged"},
    )
    head, *_, cells = tables.table(result(row("frozen"), odd))
    assert head[:3] == ["warm-up", "variant", "method"]
    assert cells[:3] == ["10 %", "small", "DITTA, online *"]
    notes = list(tables.notes_of(result(row("frozen", videos=1), odd | {"videos": 1})))
    assert "One video: no interval over videos can be given." in notes
    assert "* 10 %, small DITTA: 1 of 1 videos keep the frozen student's labels: no object" in notes
    assert "* 10 %, small DITTA: failed, not in the table: w" in notes
    notes = tables.notes_of(result(row("frozen"), failed={"seed 1": "no room"}))
    assert list(notes)[-1] == "failed: seed 1: no room"


def test_the_plots_points_are_cost_and_accuracy():
    later = row("ditta", 50.0, scores={"mIoU": {"mean": 0.6}}, teacher_calls=0)
    unknown = row("tent", frames_per_second=None, scores={"mIoU": {"mean": None}})
    whole = result(row("frozen"), DITTA, later, unknown)
    assert plot.points_of(whole, "frames_per_second") == {
        ("FROZEN", 0): {10.0: (2.0, 50.0)},
        ("DITTA", 1): {10.0: (2.0, 52.5), 50.0: (2.0, 60.0)},
    }
    assert plot.points_of(whole, "all_seconds")[("DITTA", 1)] == {
        10.0: (4.0 + 6.0 / 3, 52.5),
        50.0: (4.0, 60.0),
    }


def test_without_matplotlib_there_is_no_plot(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert not plot.write_plot(result(row("frozen")), tmp_path / "compare.png")
    assert not list(tmp_path.iterdir())


def test_the_plot_is_a_picture(tmp_path):
    pytest.importorskip("matplotlib", reason="no matplotlib: pip install 'ditta-jax[plots]'")
    assert plot.write_plot(result(row("frozen"), DITTA), tmp_path / "compare.png")
    assert (tmp_path / "compare.png").read_bytes().startswith(b"\x89PNG")


def test_the_terminal_shows_scores_and_cost_in_a_table_each():
    console = Console(file=io.StringIO(), width=80)
    tables.print_table(result(row("frozen"), DITTA), console)
    said = console.file.getvalue()
    assert said.count("│ 10 %    │ DITTA  │") == 2 and "│ 52.50 ± 0.12 │" in said
    assert "+2.50 [-1.00, +6.00]" in said and "prepared in, s" in said and "…" not in said

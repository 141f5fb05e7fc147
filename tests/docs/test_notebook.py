"""The example notebook: it runs as it is, and ships without outputs."""

import json

import pytest

from tests.docs.schemas import DOCS

CELLS = json.loads((DOCS / "notebook.ipynb").read_text())["cells"]
CODE = ["".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "code"]


def test_it_ships_without_outputs():
    code = [cell for cell in CELLS if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


@pytest.mark.optimised  # at users' size it computes for longer than it compiles
def test_it_goes_from_frames_to_a_picture(tmp_path, monkeypatch):
    pytest.importorskip("sam2")
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "notebook"}
    *cells, last = CODE
    *lines, picture = last.splitlines()
    for cell in [*cells, "\n".join(lines)]:
        exec(cell, names)
    shown = eval(picture, names)
    assert shown.size == (1440, 288) and len(shown.getcolors(1 << 20)) > 10
    assert names["adapted"].losses and names["labels"].shape == (8, 96, 160)
    assert not list(tmp_path.iterdir())

"""Methods, warm-ups and seeds in one table: a cell is a run, and a killed comparison goes on."""

import json
import sys
from pathlib import Path

import pytest

from ditta_jax import compare
from ditta_jax.algorithm import precision
from ditta_jax.comparison.cells import cells_of, changed
from ditta_jax.configuration import checked, default_config
from ditta_jax.configuration.command_line import load
from ditta_jax.data.procedural.classes import CLASSES, PALETTE
from ditta_jax.runs import all_videos, stages
from ditta_jax.runs.run_folder import RunFolder
from ditta_jax.students import checkpoint
from ditta_jax.students.segformer.config import SegFormerConfig
from ditta_jax.students.student import new_student
from ditta_jax.teacher import ground_truth
from tests.docs import schemas

SIZES = SegFormerConfig(
    len(CLASSES), (4, 4, 8, 8), (1, 1, 1, 1), (1, 1, 1, 1), (8, 4, 2, 1), 1, embed_dim=8
)
LABELLED = []  # videos that stage A was computed of, in `whole`
MEASURED = ("frames_per_second", "preparation_seconds", "peak_bytes", "teacher_seconds")


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """A tiny student on two videos of the tiny data set, the ground truth as teacher."""
    folder = tmp_path_factory.mktemp("compare")
    card = checkpoint.StudentCard(SIZES, CLASSES, PALETTE, {})
    checkpoint.save(folder / "student", new_student(SIZES), card)
    config = default_config()
    config.update(name="compared", output=str(folder), methods=("ditta", "frozen"))
    config.student.checkpoint = str(folder / "student")
    config.data.update(builder="procedural_drive/tiny", data_dir=str(folder / "tfds"), max_videos=2)
    config.input.scale = (64, 64)
    config.compare.update(percents=(50.0,), seeds=(0, 1), resamples=200)
    config.compare.ablations = ("no dropout: tta.dropout=0",)
    config.tta.iters = 2
    config.tta.lr = 1e-2
    config.metrics.windows = (2,)
    config.teacher.config = ground_truth.NAME
    config.precision.compute = "float64"  # in single, last bits decide labels here
    config.report.update(overlays=0, page=0, video=False, predictions=False)
    return config


@pytest.fixture(scope="module")
def whole(config):
    """An undisturbed comparison."""
    one = stages.label_warm_up

    def counted(model, frames, settings, name="", **rest):
        LABELLED.append(name)
        return one(model, frames, settings, name, **rest)

    with precision.policy(**config.precision), pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "label_warm_up", counted)
        return compare.compare_methods(config, cells_of(config))


def without_times(rows):
    return [{key: row[key] for key in row if key not in MEASURED} for row in rows]


def test_a_row_for_each_variant_and_method(whole, config):
    rows = {(row["variant"], row["method"]): row for row in whole["rows"]}
    assert list(rows) == [("", "frozen"), ("", "ditta"), ("no dropout", "ditta")]
    frozen, ditta, still = rows.values()
    assert frozen["seeds"] == [0] and ditta["seeds"] == [0, 1] and still["seeds"] == [0]
    assert ditta["scores"]["mIoU"]["deviation"] > 0 and len(ditta["scores"]["mIoU"]["each"]) == 2
    assert frozen["scores"]["mIoU"]["deviation"] is None and frozen["to_frozen"] == {}
    for row in (ditta, still):
        gain = row["to_frozen"]["mIoU"]
        mean = row["scores"]["mIoU"]["mean"] - frozen["scores"]["mIoU"]["mean"]
        assert gain["mean"] == pytest.approx(mean, abs=1e-12)
        assert gain["low"] <= gain["mean"] <= gain["high"] and gain["videos"] == 2
        assert row["preparation_seconds"] > 0 and row["frames_per_second"] > 0
    folder = Path(config.output) / "compared"
    written = json.loads((folder / "compare.json").read_text())
    schemas.check("compare", written)
    assert written["rows"] == json.loads(json.dumps(whole["rows"]))
    text = (folder / "compare.md").read_text()
    assert "| 50 % | as configured | DiTTA |" in text and "| no dropout | DiTTA |" in text


def test_a_cell_is_a_run_of_adapt(whole, config):
    alone = changed(
        config, {"name": "alone", "seed": 1, "methods": ("frozen", "ditta"), "warmup.percent": 50.0}
    )
    with precision.policy(**config.precision):
        methods = all_videos.adapt_videos(alone)["methods"]
    ditta = whole["rows"][1]
    for name in ("mIoU", "wIoU", "mVC2"):
        assert methods["ditta"][name] == ditta["scores"][name]["each"][1]
        assert methods["frozen"][name] == whole["rows"][0]["scores"][name]["mean"]


@pytest.mark.robustness(
    "Run folders", "a killed comparison", "goes on with the next video of the cell it was in"
)
def test_a_killed_comparison_goes_on_where_it_was(whole, config, monkeypatch, tmp_path):
    own = changed(config, {"output": str(tmp_path)})
    save, saved = RunFolder.save_finished, []

    def counted(folder, record, *rest):
        save(folder, record, *rest)
        saved.append((folder.path.name, record.name))
        if len(saved) == 3:  # the second cell's first video
            raise KeyboardInterrupt

    with precision.policy(**own.precision), monkeypatch.context() as patch:
        patch.setattr(RunFolder, "save_finished", counted)
        with pytest.raises(KeyboardInterrupt):
            compare.compare_methods(own, cells_of(own))
        again = compare.compare_methods(own, cells_of(own))
        assert len(saved) == len(set(saved)) == 6
        compare.compare_methods(own, cells_of(own))
        assert len(saved) == 6
    assert without_times(again["rows"]) == without_times(whole["rows"])


def test_cells_share_stage_a(whole):
    assert sorted(LABELLED) == ["video_000", "video_001"]  # three cells of two videos each


def test_a_cell_that_fails_is_named_and_the_others_are_done(config, monkeypatch, tmp_path, capsys):
    own = changed(config, {"output": str(tmp_path), "compare.ablations": ()})
    (tmp_path / "compared" / "cells" / "w50-s1").mkdir(parents=True)
    (tmp_path / "compared" / "cells" / "w50-s1" / "mine.txt").write_text("not a run")
    with precision.policy(**own.precision):
        result = compare.compare_methods(own, cells_of(own))
    (title,) = result["failed"]
    assert title == "warm-up 50 %, seed 1: ditta" and "mine.txt" in result["failed"][title]
    assert [row["seeds"] for row in result["rows"]] == [[0], [0]]
    assert f"failed: {title}" in capsys.readouterr().out


def test_a_dry_run_lists_the_cells(monkeypatch, capsys):
    words = ["compare", "--config", "compare_demo", "--dry-run", "--config.methods=frozen,ditta"]
    monkeypatch.setattr(sys, "argv", words)
    assert compare.main() == 0
    assert capsys.readouterr().out.splitlines() == [
        "  1  warm-up 10 %, seed 0: frozen, ditta",
        "  2  warm-up 10 %, seed 1: ditta",
        "  3  warm-up 10 %, seed 2: ditta",
        "  4  warm-up 50 %, seed 0: frozen, ditta",
        "  5  warm-up 50 %, seed 1: ditta",
        "  6  warm-up 50 %, seed 2: ditta",
    ]


@pytest.mark.parametrize("name", ["compare_demo", "compare_camvid", "ablations"])
def test_the_shipped_comparisons_are_whole(name):
    config = checked(load(name), name)
    assert len({cell.config.name for cell in cells_of(config)}) == len(cells_of(config))

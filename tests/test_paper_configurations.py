"""Every configuration of the paper's experiments, end to end on data sets in miniature."""

import json

import numpy as np
import pytest

from ditta_jax import adapt
from ditta_jax.configuration.check import checked
from ditta_jax.configuration.command_line import load
from ditta_jax.data.class_tables import class_names
from ditta_jax.data.images import encode_jpeg, encode_png
from ditta_jax.runs import all_videos
from ditta_jax.students import checkpoint
from ditta_jax.students.segformer.config import SegFormerConfig
from ditta_jax.students.student import new_student
from tests.conftest import REPOSITORY

SIZE = (48, 64)


def _save(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _frame(seed):
    rng = np.random.default_rng(seed)
    return np.kron(rng.integers(0, 256, (6, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)


def _vspw(root):
    for video in ("1_a", "2_b"):
        for number in range(12):
            name = f"{number:08d}"
            _save(root / "data" / video / "origin" / f"{name}.jpg", encode_jpeg(_frame(3)))
            truth = np.full(SIZE, 1 + number % 2, np.uint8)
            _save(root / "data" / video / "mask" / f"{name}.png", encode_png(truth))
    (root / "val.txt").write_text("1_a\n2_b\n")


def _cityscapes(root):
    for number in range(30):
        name = f"ulm_000000_{number:06d}"
        frames = root / "leftImg8bit_sequence" / "val" / "ulm"
        _save(frames / f"{name}_leftImg8bit.png", encode_png(_frame(4)))
    truth = np.full(SIZE, 26, np.uint8)
    labels = root / "gtFine" / "val" / "ulm"
    _save(labels / "ulm_000000_000019_gtFine_labelIds.png", encode_png(truth))


def _student(path, data_set):
    classes = class_names(data_set)
    config = SegFormerConfig(
        len(classes), (4, 4, 8, 8), (1, 1, 1, 1), (1, 1, 1, 1), (8, 4, 2, 1), embed_dim=8
    )
    palette = tuple((number, 0, 0) for number in range(len(classes)))
    card = checkpoint.StudentCard(config, classes, palette, {"from": "test"})
    checkpoint.save(path, new_student(config), card)


@pytest.mark.parametrize(
    ("name", "trained_on", "classes"),
    [
        ("vspw", "vspw", 124),
        ("vspw_to_cityscapes", "vspw", 20),
        ("ade20k_to_vspw", "ade20k", 125),
    ],
)
def test_a_paper_configuration(name, trained_on, classes, tmp_path, monkeypatch, capsys):
    _vspw(tmp_path / "vspw")
    _cityscapes(tmp_path / "cityscapes")
    _student(tmp_path / "student", trained_on)
    monkeypatch.setenv("VSPW", str(tmp_path / "vspw"))
    monkeypatch.setenv("CITYSCAPES", str(tmp_path / "cityscapes"))
    config = checked(load(str(REPOSITORY / "configs" / f"{name}.py")), where=name)
    config.update(output=str(tmp_path / "runs"))
    config.student.checkpoint = str(tmp_path / "student")
    config.teacher.update(config="embedded", checkpoint="", dtype="float32")
    config.teacher.update(threshold_first=0.0, threshold_later=0.0)
    config.input.scale = (64, 64)
    config.tta.iters = 1
    config.report.update(page=0, video=False)

    assert adapt.tell_plan(config.lock()) == 0
    plan = capsys.readouterr().out
    assert "input 64x64" in plan and plan.rstrip().endswith("0 cannot; nothing was started")
    assert not (tmp_path / "runs").exists()

    result = all_videos.adapt_videos(config.lock())
    told = capsys.readouterr().out
    assert ("the paper has no row" in told) == (name == "ade20k_to_vspw")
    assert ("ditta: mIoU" in told) == (name != "ade20k_to_vspw")
    assert not result["failed"]
    scores = result["methods"]["ditta"]
    assert scores["mIoU"] is not None
    if name == "vspw_to_cityscapes":
        assert scores["mVC8"] is None and set(scores["class_iou"]) == {"car"}
        assert "29 of 30 frames have no mask" in told
    else:
        assert set(scores["class_iou"]) == {"wall", "ceiling"}
    confusion = json.loads((tmp_path / "runs" / name / "result.json").read_text())
    assert confusion["config"]["report"]["experiment"] == name

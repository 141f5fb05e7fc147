"""Building the nano predictor, its weights on disk, tracking and scoring with it."""

import cv2
import numpy as np
import pytest
import torch

pytest.importorskip("sam2")
pytest.importorskip("skimage")

from teacher_bridge.nano import build
from teacher_bridge.nano.build import (
    WEIGHTS,
    build_nano_predictor,
    build_untrained_predictor,
    read_weights,
    write_weights,
)
from teacher_bridge.nano.training import evaluate, scoring
from teacher_bridge.nano.training.clips import HELD_OUT_SEED, make_clip
from teacher_bridge.nano.training.scoring import Score, mean_iou, score_clip
from teacher_bridge.nano.training.tracking import overlap, track

needs_weights = pytest.mark.skipif(not WEIGHTS.is_file(), reason="no trained weights here")


@pytest.fixture(scope="module")
def untrained():
    torch.manual_seed(0)
    return build_untrained_predictor()


@pytest.fixture(scope="module")
def shipped():
    return build_nano_predictor()


@needs_weights
def test_shipped_weights_are_small_half_precision_and_complete(shipped):
    assert WEIGHTS.stat().st_size <= 8_000_000
    half = build.load_file(WEIGHTS)
    assert {v.dtype for v in half.values() if v.is_floating_point()} == {torch.float16}
    assert all(torch.isfinite(v).all() for v in half.values())
    assert set(half) == set(shipped.state_dict())
    assert {p.dtype for p in shipped.parameters()} == {torch.float32}


@needs_weights
def test_shipped_weights_segment_from_a_click_and_track(shipped):
    clip = make_clip(HELD_OUT_SEED + 1000, 5)
    scores = score_clip(shipped, clip, "centre", seed=0)
    assert mean_iou([s for s in scores if s.frame == 0]) > 0.6
    assert mean_iou([s for s in scores if s.frame == 4]) > 0.5


def test_weights_survive_half_precision_and_load_strictly(untrained, tmp_path):
    path = tmp_path / "weights.safetensors"
    write_weights(path, untrained.state_dict())
    again = build_nano_predictor(path)
    assert type(again).__name__ == "SAM2VideoPredictor" and again.image_size == build.IMAGE_SIZE
    for name, value in untrained.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, rtol=1e-3, atol=1e-4)
    torch.save({"model": untrained.state_dict()}, tmp_path / "weights.pt")
    assert set(read_weights(tmp_path / "weights.pt")) == set(untrained.state_dict())


def test_bad_weight_files_are_refused_in_one_line(untrained, tmp_path):
    with pytest.raises(SystemExit, match="no such file"):
        build_nano_predictor(tmp_path / "missing.safetensors")
    for name in ("torn.safetensors", "torn.pt"):
        (tmp_path / name).write_bytes(b"torn")
        with pytest.raises(SystemExit, match="cannot be read"):
            build_nano_predictor(tmp_path / name)
    write_weights(tmp_path / "other.safetensors", {"w": torch.zeros(2)})
    with pytest.raises(SystemExit, match="not weights of the nano SAM 2") as caught:
        build_nano_predictor(tmp_path / "other.safetensors")
    assert "\n" not in str(caught.value)


def test_building_leaves_the_configurations_of_the_sam2_package_reachable(untrained):
    from hydra import compose

    assert compose("configs/sam2.1/sam2.1_hiera_t.yaml").model.image_size == 1024


def test_tracking_answers_for_every_object_and_frame(untrained):
    frames = make_clip(1, 2).frames
    mask = np.zeros((192, 192), bool)
    mask[60:120, 60:120] = True
    found = track(untrained, frames, masks={4: mask})
    assert found.keys() == {4} and found[4].shape == (2, 192, 192)
    # A mask prompt is its own answer where it was given, up to the mask's coarser grid.
    assert overlap(found[4][0], mask) > 0.9


def test_overlap_of_masks():
    a, b = np.zeros((2, 4), bool), np.zeros((2, 4), bool)
    assert overlap(a, b) == 1
    a[0, :3], b[0, 1:] = True, True
    assert overlap(a, b) == pytest.approx(2 / 4)


def test_mean_leaves_out_objects_that_hardly_show():
    rows = [Score(False, 0, area, area, iou) for area, iou in ((500, 0.8), (59, 0.0), (60, 0.4))]
    assert mean_iou(rows) == pytest.approx(0.6)
    assert np.isnan(mean_iou(rows[1:2]))


def test_held_out_table_names_figures_regions_and_absence(untrained, tmp_path, capsys):
    write_weights(tmp_path / "w.safetensors", untrained.state_dict())
    evaluate.main(
        ["--checkpoint", str(tmp_path / "w.safetensors"), "--clips", "1", "--frames", "2"]
    )
    printed = capsys.readouterr().out
    assert "1 held-out clips, one centre click" in printed
    for name in ("| figures |", "| regions |", "| all |", "absent (", "visible (", "s a frame"):
        assert name in printed


def test_davis_folder_is_scored_by_sequence(untrained, tmp_path, capsys):
    from PIL import Image

    clip = make_clip(2, scoring.DAVIS_LATER + 1)
    images, labels = (tmp_path / n / "480p" / "toy" for n in ("JPEGImages", "Annotations"))
    images.mkdir(parents=True)
    labels.mkdir(parents=True)
    for t, frame in enumerate(clip.frames):
        cv2.imwrite(str(images / f"{t:05d}.jpg"), frame)
        Image.fromarray((clip.labels[t] == clip.labels[0, 96, 96]).astype(np.uint8)).save(
            labels / f"{t:05d}.png"
        )
    scoring.print_davis(untrained, tmp_path)
    assert "| toy |" in capsys.readouterr().out
    (images / "00012.jpg").unlink()
    with pytest.raises(SystemExit, match="needs 13 frames"):
        scoring.print_davis(untrained, tmp_path)
    with pytest.raises(SystemExit, match="no such folder"):
        scoring.print_davis(untrained, tmp_path / "nowhere")

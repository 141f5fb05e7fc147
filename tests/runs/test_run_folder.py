import json
import logging
import math

import numpy as np
import pytest

from ditta_jax.metrics.scores import VideoScores
from ditta_jax.names import file_name
from ditta_jax.runs.run_folder import RunFolder
from ditta_jax.runs.video_record import VideoRecord

CLASSES = ("road", "car")
PALETTE = ((128, 64, 128), (0, 0, 142))
CONFIG = {"name": "a", "output": "runs", "tta": {"lr": 1e-3}, "metrics": {"windows": (2,)}}


def record(name, seed=0):
    random = np.random.default_rng(seed)
    scores = {}
    for method in ("iss", "ditta"):
        video = VideoScores(len(CLASSES), (2,))
        for _ in range(5):
            video.update(*random.integers(0, 2, (2, 3, 4)).astype(np.uint8))
        scores[method] = video.finish()
    return VideoRecord(name, (3, 4), 6, 1, 5, {"A student": 0.1}, scores, {"objects": 3})


def opened(path, **changes):
    return RunFolder(path, CONFIG | changes, CLASSES, PALETTE, {"student": "abc"})


def test_an_interrupted_run_finds_what_it_finished(tmp_path):
    first = record("a/b")
    opened(tmp_path).save_finished(first)
    again = opened(tmp_path, name="moved", output="elsewhere").load_finished("a/b")
    assert again is not None
    assert again._replace(scores={}) == first._replace(scores={})
    for method, scores in first.scores.items():
        assert again.scores[method].result() == scores.result()
        np.testing.assert_array_equal(again.scores[method].confusion, scores.confusion)
    assert opened(tmp_path).load_finished("other") is None


def test_a_record_of_other_settings_frames_or_weights_is_not_used(tmp_path, caplog):
    opened(tmp_path).save_finished(record("v"), video_key="frames 1")
    assert opened(tmp_path).load_finished("v", "frames 1") is not None
    with caplog.at_level(logging.WARNING):
        assert opened(tmp_path).load_finished("v", "frames 2") is None
        assert opened(tmp_path, tta={"lr": 1e-4}).load_finished("v", "frames 1") is None
        other = RunFolder(tmp_path, CONFIG, CLASSES, PALETTE, {"student": "other"})
        assert other.load_finished("v", "frames 1") is None
    assert len(caplog.messages) == 3
    assert all("other settings or other frames" in message for message in caplog.messages)


@pytest.mark.parametrize("keep", [0, 40, -2])
def test_a_damaged_record_is_named_and_not_used(tmp_path, caplog, keep):
    run = opened(tmp_path)
    run.save_finished(record("v"))
    path = tmp_path / "videos" / "v.json"
    path.write_bytes(path.read_bytes()[:keep])
    assert run.load_finished("v") is None
    assert str(path) in caplog.text


def test_losses_of_a_video_that_is_run_again_are_replaced(tmp_path):
    row = {"pass": 0, "frame": 0, "distill": np.float32(2.5), "contrast": np.float32("nan")}
    first = opened(tmp_path)
    first.append_losses("a", [row])
    first.append_losses("b", [row, row])
    with open(tmp_path / "losses.jsonl", "a") as file:
        file.write('{"video": "c", "dist')  # the run was stopped here
    again = opened(tmp_path)
    again.append_losses("b", [row | {"frame": 7}])
    lines = [json.loads(line) for line in (tmp_path / "losses.jsonl").read_text().splitlines()]
    assert [(line["video"], line["frame"]) for line in lines] == [("a", 0), ("b", 7)]
    assert lines[0] == {"video": "a", "pass": 0, "frame": 0, "distill": 2.5, "contrast": None}


def test_a_torn_line_without_its_end_is_cut_even_if_it_is_whole_json(tmp_path):
    path = tmp_path / "losses.jsonl"
    path.write_text('{"video": "a"}\n{"video": "b"}')
    opened(tmp_path).append_losses("c", [{"total": 1.0}])
    videos = [json.loads(line)["video"] for line in path.read_text().splitlines()]
    assert videos == ["a", "c"]


def test_result_adds_videos_up_before_it_scores(tmp_path):
    records = [record("a", 1), record("b", 2)]
    returned = opened(tmp_path).write_result(records)
    result = json.loads((tmp_path / "result.json").read_text())
    assert result == json.loads(json.dumps(returned))
    for method in ("iss", "ditta"):
        total = records[0].scores[method] + records[1].scores[method]
        expected = total.result()
        found = result["methods"][method]
        assert {name: found[name] for name in expected} == expected
        iou = dict(zip(CLASSES, total.class_iou().tolist(), strict=True))
        assert found["class_iou"] == iou
        assert result["videos"][1]["scores"][method] == records[1].scores[method].result()
    assert result["videos"][0]["seconds"] == {"A student": 0.1}
    assert result["videos"][0]["warmup"] == 1
    assert result["config"]["tta"] == {"lr": 1e-3}
    assert result["environment"]["packages"]["jax"]


def test_undefined_scores_are_null(tmp_path):
    no_truth = VideoScores(2, (2,)).finish()
    empty = record("v")._replace(scores={"iss": no_truth})
    assert math.isnan(no_truth.result()["mIoU"])
    opened(tmp_path).write_result([empty])
    text = (tmp_path / "result.json").read_text()
    assert "NaN" not in text
    assert json.loads(text)["methods"]["iss"]["mIoU"] is None


@pytest.mark.parametrize("names", [("a/b", "a%2Fb"), (".", "%2E"), ("..", "%2E."), ("a", "A ")])
def test_file_names_are_one_component_and_stay_different(names, tmp_path):
    files = [file_name(name) for name in names]
    assert len(set(files)) == 2
    for name in files:
        assert (tmp_path / name).resolve().parent == tmp_path.resolve()

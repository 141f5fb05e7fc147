import importlib.util
import io
import json

import numpy as np
import pytest
from PIL import Image

from ditta_jax.configuration import default_config
from ditta_jax.errors import UserError
from ditta_jax.files import unseal
from ditta_jax.metrics.scores import Scores
from ditta_jax.runs import tensorboard
from tests.runs.page import made_up_run

pytest.importorskip("tensorboardX")
LOSSES = {
    "own": [{"total": 2.0, "contrast": None}, {"total": 1.5, "contrast": 0.25}],
    "other": [{"total": 3.0, "contrast": None}],
}


@pytest.fixture
def runs(tmp_path):
    """Two runs of which the second has done one video only."""
    for name, videos in (("own", ("left", "right")), ("other", ("left",))):
        folder = made_up_run.write_run(tmp_path / name, videos, lr=len(videos))
        (folder / "losses").mkdir()
        rows = [row | {"video": "left", "method": "ditta", "pass": 0} for row in LOSSES[name]]
        text = "".join(json.dumps(row | {"frame": t}) + "\n" for t, row in enumerate(rows))
        (folder / "losses" / "left.jsonl").write_text(text)
    overlays = tmp_path / "own" / "overlays" / "left"
    overlays.mkdir(parents=True)
    Image.fromarray(np.full((4, 6, 3), 200, np.uint8)).save(overlays / "00004.png")
    return tmp_path / "own", tmp_path / "other"


def values_in(folder):
    """Every value of a folder's events with its step, by tag."""
    from tensorboardX.proto import event_pb2

    (file,) = folder.glob("events.*")
    data, found = file.read_bytes(), {}
    while data:  # TFRecord: length, its checksum, the event, its checksum
        length = int.from_bytes(data[:8], "little")
        event = event_pb2.Event.FromString(data[12 : 12 + length])
        for value in event.summary.value:
            found.setdefault(value.tag, []).append((event.step, value))
        data = data[12 + length + 4 :]
    return found


def scalars(values):
    return [(step, value.simple_value) for step, value in values]


def scores_of(run, video):
    record = unseal((run / "videos" / f"{video}.json").read_bytes())
    return {method: Scores.from_json(sums) for method, sums in record["scores"].items()}


def test_a_videos_curves_and_pictures_read_back_beside_the_references(runs):
    own, other = runs
    for _ in range(2):  # the second time in place of the first
        tensorboard.write_video(own, "left", scores_of(own, "left"), str(other))
    found = values_in(own / "tensorboard" / "left")
    assert scalars(found["loss/ditta/total"]) == [(0, 2.0), (1, 1.5)]
    assert scalars(found["loss/ditta/contrast"]) == [(1, 0.25)]
    for method, sums in scores_of(own, "left").items():
        ((step, score),) = scalars(found[f"score/{method}/mIoU"])
        assert (step, score) == (0, pytest.approx(sums.result()["mIoU"]))
        frames = range(made_up_run.WARM_UP, made_up_run.FRAMES)
        assert [step for step, _ in found[f"frame/{method}/mIoU"]] == list(frames)
        flicker = scalars(found[f"frame/{method}/flicker"])
        assert [step for step, _ in flicker] == list(frames)[1:]  # of two frames each
        assert all(0 <= value <= 1 for _, value in flicker)
    ((_, picture),) = found["overlay"]
    with Image.open(io.BytesIO(picture.image.encoded_image_string)) as image:
        assert image.size == (picture.image.width, picture.image.height) == (6, 4)

    beside = values_in(own / "tensorboard" / "left" / "reference")
    assert scalars(beside["loss/ditta/total"]) == [(0, 3.0)]
    assert beside.keys() == found.keys() - {"loss/ditta/contrast", "overlay"}


def test_a_video_that_the_reference_has_not_done_stands_alone(runs):
    own, other = runs
    tensorboard.write_video(own, "right", {}, str(other))
    assert not (own / "tensorboard" / "right" / "reference").exists()
    assert not any(tag.startswith("score/") for tag in values_in(own / "tensorboard" / "right"))


def test_the_results_of_all_videos_stand_beside_the_references(runs):
    own, other = runs
    result = json.loads((own / "result.json").read_text())
    tensorboard.write_results(own, result, str(other))
    found, beside = (values_in(own / "tensorboard-results" / p) for p in ("", "reference"))
    assert found.keys() == beside.keys()
    for method, scores in result["methods"].items():
        assert scalars(found[f"score/{method}/mIoU"]) == [(0, pytest.approx(scores["mIoU"]))]
    words = {
        tag: found[f"{tag}/text_summary"][0][1].tensor.string_val[0].decode()
        for tag in ("results", "settings", "failed")
    }
    assert f"| DiTTA | {100 * result['methods']['ditta']['mIoU']:.2f} |" in words["results"]
    assert "| `tta.lr` | `2` |" in words["settings"]
    assert "frame 3 does not decode" in words["failed"]


def test_what_is_missing_is_told_before_the_work(tmp_path, monkeypatch):
    report = default_config().report
    tensorboard.check(report)
    report.tensorboard = True
    tensorboard.check(report)
    report.reference = str(tmp_path)
    with pytest.raises(UserError, match="report.reference: .* holds no finished video"):
        tensorboard.check(report)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install tensorboardX"):
        tensorboard.check(report)


@pytest.mark.parametrize("edit", [{"methods": {"ditta": {"mIoU": 7.0}}}, {"videos": [{}]}])
def test_a_reference_that_somebody_edited_is_refused_before_the_work(runs, edit):
    _, other = runs
    file = other / "result.json"
    report = default_config().report
    report.tensorboard, report.reference = True, str(other)
    tensorboard.check(report)
    file.write_text(json.dumps(json.loads(file.read_text()) | edit))
    with pytest.raises(UserError, match="result.json: not as a run writes it"):
        tensorboard.check(report)

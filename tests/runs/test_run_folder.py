import json
import math
import shutil

import numpy as np
import pytest

from ditta_jax.errors import UserError
from ditta_jax.metrics.scores import VideoScores
from ditta_jax.names import file_name
from ditta_jax.runs.run_folder import RunFolder
from ditta_jax.runs.video_record import VideoRecord

CLASSES = ("road", "car")
PALETTE = ((128, 64, 128), (0, 0, 142))
CONFIG = {
    "name": "a",
    "output": "runs",
    "data": {"path": "x"},
    "student": {"checkpoint": "y"},
    "teacher": {"config": "embedded"},
    "tta": {"lr": 1e-3},
    "report": {"predictions": True, "overlays": 1},
    "metrics": {"windows": (2,)},
}
PARTS = {"tta.lr": 1e-3, "the frames": 64 * "a"}
ROW = {"pass": 0, "frame": 0, "distill": np.float32(2.5), "contrast": np.float32("nan")}


def record(name, seed=0):
    random = np.random.default_rng(seed)
    scores = {}
    for method in ("frozen", "ditta"):
        video = VideoScores(len(CLASSES), (2,))
        for _ in range(5):
            video.update(*random.integers(0, 2, (2, 3, 4)).astype(np.uint8))
        scores[method] = video.finish()
    told = {
        "preparation_seconds": 0.5,
        "frames_per_second": 2.0,
        "compile_seconds": 0.1,
        "protocol": "freeze",
        "kept_frozen": None,
    }
    methods = {method: told for method in scores}
    seconds, details = {"A student": 0.1}, {"objects": 3}
    return VideoRecord(name, (3, 4), 6, 1, 5, seconds, scores, methods, details, {})


def run_folder(path, **changes):
    return RunFolder(path, CONFIG | changes, CLASSES, PALETTE)


def compute(run, name, parts=PARTS, value=0, frames=(1, 2), masks=None):
    """Writes what a run writes of a video."""
    run.write_losses(name, [ROW | {"frame": t} for t in frames])
    with run.prediction_writer(name) as writer:
        for t in frames:
            writer.write(f"{t:05d}", np.full((3, 4), value, np.uint8))
    picture = run.overlay_file(name, f"{frames[0]:05d}")
    picture.parent.mkdir(parents=True, exist_ok=True)
    picture.write_bytes(b"picture %d" % value)
    run.save_finished(record(name, value), parts, masks)


def whole_run(path, names=("v",), parts=PARTS, value=0, **changes):
    """A run that takes what is finished and computes the rest; returns the names of the latter."""
    run, computed = run_folder(path, **changes), []
    with run.opened(names):
        records = []
        for name in names:
            found = run.load_finished(name, parts)
            if found is None:
                computed.append(name)
                compute(run, name, parts, value)
                found = run.load_finished(name, parts)
            records.append(found)
        run.write_result(records)
    return computed


def content(path):
    """All files of a run but those of earlier ones, as bytes."""
    files = [p for p in sorted(path.rglob("*")) if p.is_file() and p.name != ".lock"]
    names = [p.relative_to(path).as_posix() for p in files]
    found = {n: p.read_bytes() for n, p in zip(names, files, strict=True)}
    if "result.json" in found:  # what it says of the machine changes between two runs of one test
        machine = {"environment": None, "peak_memory": None}
        found["result.json"] = json.loads(found["result.json"]) | machine
    return {name: data for name, data in found.items() if not name.startswith("earlier-")}


def test_an_interrupted_run_finds_what_it_finished(tmp_path):
    first = record("a/b")
    with run_folder(tmp_path).opened(["a/b"]) as run:
        compute(run, "a/b")
    with run_folder(tmp_path, name="moved", output="elsewhere").opened(["a/b", "other"]) as run:
        again = run.load_finished("a/b", PARTS)
        assert again is not None
        assert again._replace(scores={}) == first._replace(scores={})
        for method, scores in first.scores.items():
            assert again.scores[method].result() == scores.result()
            np.testing.assert_array_equal(again.scores[method].confusion, scores.confusion)
        assert run.load_finished("other", PARTS) is None


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (PARTS | {"tta.lr": 3e-4}, "v: computed again: tta.lr 0.001 → 0.0003"),
        (PARTS | {"the frames": 64 * "b"}, "the frames changed"),
        (PARTS | {"fusion.threshold": 0.8}, "fusion.threshold is new"),
        ({"the frames": 64 * "a"}, "tta.lr is gone"),
        ({"tta.lr": 3e-4, "the frames": 64 * "b"}, "tta.lr 0.001 → 0.0003; the frames changed"),
    ],
)
def test_a_record_of_something_else_is_not_used_and_the_run_says_why(
    tmp_path, caplog, parts, words
):
    whole_run(tmp_path)
    caplog.clear()
    with run_folder(tmp_path).opened(["v"]) as run:
        assert run.load_finished("v", parts) is None
    (message,) = caplog.messages
    assert words in message and message.endswith("the earlier one is in earlier-1")


@pytest.mark.parametrize("keep", [0, 40, -2])
def test_a_damaged_record_is_named_and_not_used(tmp_path, caplog, keep):
    whole_run(tmp_path)
    path = tmp_path / "videos" / "v.json"
    path.write_bytes(path.read_bytes()[:keep])
    with run_folder(tmp_path).opened(["v"]) as run:
        assert run.load_finished("v", PARTS) is None
    assert str(path) in caplog.text


def test_a_record_of_an_older_version_is_set_aside(tmp_path, caplog):
    from ditta_jax.files import seal

    whole_run(tmp_path)
    old = seal(record("v").to_json() | {"key": 64 * "0"})
    (tmp_path / "videos" / "v.json").write_bytes(old)
    assert whole_run(tmp_path) == ["v"]
    assert "older version of this program" in caplog.text
    assert (tmp_path / "earlier-1" / "videos" / "v.json").read_bytes() == old


# ---------------------------------------------------------------------------- files of a record


def remove(path):
    path.unlink()


def change(path):
    path.write_bytes(path.read_bytes() + b" ")


@pytest.mark.robustness(
    "Run folders", "outputs removed or changed behind a finished video", "computed again, said why"
)
@pytest.mark.parametrize("harm", [remove, change])
@pytest.mark.parametrize(
    "name", ["predictions/v/00002.png", "overlays/v/00001.png", "losses/v.jsonl"]
)
def test_a_record_vouches_for_its_files(tmp_path, caplog, said, harm, name):
    whole_run(tmp_path)
    before = content(tmp_path)
    harm(tmp_path / name)
    assert whole_run(tmp_path) == ["v"]
    assert content(tmp_path) == before
    (message,) = caplog.messages
    said(message)
    assert name in message and ("missing" if harm is remove else "not what it wrote") in message


def test_a_whole_folder_of_predictions_removed_is_noticed(tmp_path, caplog):
    whole_run(tmp_path)
    shutil.rmtree(tmp_path / "predictions")
    assert whole_run(tmp_path) == ["v"]
    assert "predictions/v/00001.png is missing" in caplog.text


def test_what_this_run_does_not_want_may_be_missing(tmp_path):
    whole_run(tmp_path)
    shutil.rmtree(tmp_path / "predictions")
    shutil.rmtree(tmp_path / "overlays")
    assert whole_run(tmp_path, report={"predictions": False, "overlays": 0}) == []


def test_a_video_done_without_predictions_is_done_again_for_a_run_that_wants_them(tmp_path, caplog):
    off = {"predictions": False, "overlays": 0}
    with run_folder(tmp_path, report=off).opened(["v"]) as run:
        run.write_losses("v", [ROW])
        run.save_finished(record("v"), PARTS)
        assert run.load_finished("v", PARTS) is not None
    assert whole_run(tmp_path) == ["v"]
    assert "it kept no predictions" in caplog.text


@pytest.mark.robustness(
    "Run folders", "the teacher answered anew, with other masks", "computed again, said why"
)
@pytest.mark.parametrize(
    "masks", [{"v-00": "1"}, {"v-11": "3", "v-00": "1"}, {"entry": "v-00", "digest": "1"}]
)  # the last as an earlier version kept them
def test_other_masks_in_the_cache_are_noticed(tmp_path, caplog, said, masks):
    with run_folder(tmp_path).opened(["v"]) as run:
        compute(run, "v", masks=masks)
    for now, used in (("1", True), (None, True), ("2", False)):
        with run_folder(tmp_path).opened(["v"]) as run:
            found = run.load_finished("v", PARTS, {"v-00": now}.get)
            assert (found is not None) == used
    assert "the teacher's masks changed" in said(caplog.text)


# ---------------------------------------------------------------------------- one truth


@pytest.mark.robustness(
    "Run folders",
    "a run, another of the same name with other settings broken off, the first again",
    "all of the first, back from where the second had set it aside",
)
def test_settings_a_then_b_broken_off_then_a_ends_with_a(tmp_path, caplog, said):
    names, b = ("v", "w"), PARTS | {"tta.lr": 3e-4}
    whole_run(tmp_path, names, tta={"lr": 1e-3})
    before = content(tmp_path)
    run = run_folder(tmp_path, tta={"lr": 3e-4})
    with pytest.raises(KeyboardInterrupt), run.opened(names):
        assert run.load_finished("v", b) is None and run.load_finished("w", b) is None
        assert not (tmp_path / "result.json").exists()
        compute(run, "v", b, value=1)
        run.write_losses("w", [ROW] * 7)
        with run.prediction_writer("w") as writer:
            writer.write("00001", np.ones((3, 4), np.uint8))
        raise KeyboardInterrupt
    assert whole_run(tmp_path, names, tta={"lr": 1e-3}) == []
    assert content(tmp_path) == before
    assert "back from earlier-1" in said(caplog.text)


def test_a_broken_off_attempt_leaves_nothing_to_the_next(tmp_path):
    run = run_folder(tmp_path)
    with pytest.raises(KeyboardInterrupt), run.opened(["v"]):
        run.load_finished("v", PARTS)
        run.write_losses("v", [ROW] * 9)
        with run.prediction_writer("v") as writer:
            writer.write("00000", np.ones((3, 4), np.uint8))  # a frame that is not to be scored
        raise KeyboardInterrupt
    assert whole_run(tmp_path) == ["v"]
    assert whole_run(tmp_path / "other", output="runs") == ["v"]
    names = {name for name in content(tmp_path) if not name.startswith("other/")}
    assert names == content(tmp_path / "other").keys()
    assert not list(tmp_path.glob("earlier-*"))


@pytest.mark.robustness(
    "Run folders", "fewer or other videos under the same name", "the others' outputs set aside"
)
def test_what_is_of_other_videos_is_set_aside_and_comes_back(tmp_path, caplog, said):
    whole_run(tmp_path, ("v", "w"))
    before = content(tmp_path)
    assert whole_run(tmp_path, ("v",)) == []
    assert not [name for name in content(tmp_path) if "w" in name.split("/")[-1].split(".")]
    assert len((tmp_path / "losses.jsonl").read_text().splitlines()) == 2
    assert "other videos (w) is now in earlier-1" in said(caplog.text)
    assert whole_run(tmp_path, ("v", "w")) == []
    assert content(tmp_path) == before


def test_files_of_somebody_in_a_run_stay_where_they_are(tmp_path):
    whole_run(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    whole_run(tmp_path, parts=PARTS | {"tta.lr": 1.0})
    assert (tmp_path / "notes.txt").read_text() == "mine"


def foreign_file(path):
    path.write_text("mine")


def foreign_folder(path):
    path.mkdir()
    (path / "thesis.tex").write_text("mine")


def checkpoint_folder(path):
    path.mkdir()
    (path / "config.json").write_text('{"model_type": "segformer"}')


def damaged_settings(path):
    path.mkdir()
    (path / "config.json").write_text('{"name": ')


@pytest.mark.robustness(
    "Run folders", "the run's folder holds something else", "refused before any work"
)
@pytest.mark.parametrize(
    "make", [foreign_file, foreign_folder, checkpoint_folder, damaged_settings]
)
def test_a_folder_of_something_else_is_refused_and_left_alone(tmp_path, said, make):
    path = tmp_path / "run"
    make(path)
    before = [(p, p.is_file() and p.read_bytes()) for p in sorted(tmp_path.rglob("*"))]
    with pytest.raises(UserError) as caught, run_folder(path).opened(["v"]):
        pass
    assert str(path) in said(str(caught.value)) and "another name" in str(caught.value)
    assert [(p, p.is_file() and p.read_bytes()) for p in sorted(tmp_path.rglob("*"))] == before


# ---------------------------------------------------------------------------- results


@pytest.mark.robustness(
    "Run folders",
    "adapted students wanted (tta.save) of a video that was finished without",
    "the video is done again, with the reason",
)
def test_students_that_were_not_kept_are_made(tmp_path, caplog, said):
    assert whole_run(tmp_path / "run") == ["v"]
    assert whole_run(tmp_path / "run", tta={"lr": 1e-3, "save": True}) == ["v"]
    assert "no adapted students (tta.save)" in said(caplog.messages[-1])
    # nothing of this video was adapted, so no file is there: that is not missed
    assert whole_run(tmp_path / "run", tta={"lr": 1e-3, "save": True}) == []
    assert whole_run(tmp_path / "run") == []


@pytest.mark.robustness(
    "Run folders",
    "more pictures wanted (report.overlays, .page, .video) of a video that was finished before",
    "not done again for it, and said so",
)
def test_pictures_wanted_later_are_spoken_of(tmp_path, caplog, said):
    reports = [
        {"predictions": True, "overlays": o, "video": v} for o, v in ((0, False), (2, False))
    ]
    assert whole_run(tmp_path / "run", report=reports[0]) == ["v"]
    assert not caplog.messages
    assert whole_run(tmp_path / "run", report=reports[1]) == []
    assert "finished before with report.overlays=0; its pictures stay" in said(caplog.messages[-1])
    caplog.clear()
    assert whole_run(tmp_path / "run", report=reports[0]) == [] and not caplog.messages


def test_losses_are_one_file_in_the_end(tmp_path):
    whole_run(tmp_path, ("w", "v"))
    lines = [json.loads(line) for line in (tmp_path / "losses.jsonl").read_text().splitlines()]
    assert [(line["video"], line["frame"]) for line in lines] == [
        *(("w", 1), ("w", 2)),
        *(("v", 1), ("v", 2)),
    ]
    assert lines[0] == {"video": "w", "pass": 0, "frame": 1, "distill": 2.5, "contrast": None}


def test_result_adds_videos_up_before_it_scores(tmp_path):
    records = [record("a", 1), record("b", 2)]
    with run_folder(tmp_path).opened(["a", "b"]) as run:
        returned = run.write_result(records)
    result = json.loads((tmp_path / "result.json").read_text())
    assert result == json.loads(json.dumps(returned))
    for method in ("frozen", "ditta"):
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
    empty = record("v")._replace(scores={"frozen": no_truth})
    assert math.isnan(no_truth.result()["mIoU"])
    with run_folder(tmp_path).opened(["v"]) as run:
        run.write_result([empty])
    text = (tmp_path / "result.json").read_text()
    assert "NaN" not in text
    assert json.loads(text)["methods"]["frozen"]["mIoU"] is None


@pytest.mark.parametrize(
    "names",
    [("a/b", "a%2Fb"), (".", "%2E"), ("..", "%2E."), ("a", "A "), ("v" * 300, "v" * 301)]
    + [("가" * 30, "가" * 31)],
)
def test_file_names_are_one_short_component_and_stay_different(names, tmp_path):
    files = [file_name(name) for name in names]
    assert len(set(files)) == 2
    for name in files:
        assert (tmp_path / name).resolve().parent == tmp_path.resolve()
        assert len(name.encode()) <= 210

"""The entry point from files to results, with a tiny random student and an imagined teacher."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ditta_jax import adapt
from ditta_jax.algorithm import precision
from ditta_jax.configuration import default_config
from ditta_jax.data.procedural.classes import CLASSES, PALETTE
from ditta_jax.errors import UserError
from ditta_jax.methods import ditta
from ditta_jax.runs import all_videos
from ditta_jax.runs.video_work import VideoWork
from ditta_jax.students import checkpoint
from ditta_jax.students.segformer.config import SegFormerConfig
from ditta_jax.students.student import new_student
from ditta_jax.teacher import mask_rle
from ditta_jax.teacher import process as teacher_process
from ditta_jax.teacher.cache import read_entry, teacher_key, write_masklets
from ditta_jax.teacher.identity import teacher_identity
from ditta_jax.teacher.records import Masklets
from tests.docs import schemas
from tests.imagined import sessions

REPOSITORY = Path(__file__).resolve().parent.parent
TEACHER = "sha256:" + 64 * "a"
FRAMES, WARMUP = 5, 2  # of procedural_drive/tiny, at 50 %
METHODS = {"frozen", "ditta"}
SCORES = ("mIoU", "wIoU", "mVC8", "mVC16", "class_iou")


def imagined_teacher(cache, settings, entries, on_progress):
    """Answers each request with two overlapping rectangles around its two best peaks."""
    key = teacher_key(teacher_identity(settings.config, settings.checkpoint, settings.dtype))
    for entry in entries:
        request = read_entry(entry).request
        best = sorted(request.peaks[0], key=lambda peak: -peak.reliability)[:2]
        masks = np.zeros((2, *request.size), bool)
        for mask, peak in zip(masks, best, strict=False):
            mask[max(peak.y - 20, 0) : peak.y + 20, max(peak.x - 40, 0) : peak.x + 40] = True
        rows = tuple((i, mask_rle.encode(m)) for i, m in enumerate(masks, start=1) if m.any())
        masklets = Masklets(
            request.size,
            tuple(i for i, _ in rows),
            (rows,) * len(request.frames),
            request.pixels_per_class(),
            {"teacher": "imagined", "seconds": 0.5},
        )
        write_masklets(entry, key, masklets)


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    config = SegFormerConfig(
        len(CLASSES), (4, 4, 8, 8), (1, 1, 1, 1), (1, 1, 1, 1), (8, 4, 2, 1), 1, embed_dim=8
    )
    path = tmp_path_factory.mktemp("student") / "tiny"
    checkpoint.save(
        path,
        new_student(config),
        checkpoint.StudentCard(config, CLASSES, PALETTE, {"from": "test"}),
    )
    return path


@pytest.fixture(scope="module")
def base(student, tmp_path_factory):
    """Settings of the tiny data set, two passes over half of each video."""
    config = default_config()
    config.student.checkpoint = str(student)
    config.data.builder = "procedural_drive/tiny"
    config.data.data_dir = str(tmp_path_factory.mktemp("tfds"))
    config.input.scale = (64, 64)
    config.warmup.percent = 50.0
    config.tta.iters = 2
    config.teacher.update(config="configs/a.yaml", checkpoint=TEACHER, run=False)
    config.report.overlays = 2
    return config


def settings(base, output, **data):
    config = base.copy_and_resolve_references()
    config.output = str(output)
    config.name = "run"
    config.data.update(data)
    return config


@pytest.fixture(autouse=True)
def no_torch(monkeypatch):
    monkeypatch.setattr(teacher_process, "open_session", sessions(imagined_teacher))


@pytest.fixture(scope="module")
def whole_run(base, tmp_path_factory):
    """Folder and result of an uninterrupted run over the two videos."""
    output = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(teacher_process, "open_session", sessions(imagined_teacher))
        result = all_videos.adapt_videos(settings(base, output))
    return output, result


def scores_of(result):
    """Scores of each method; the times beside them differ from run to run."""
    return {m: {k: own.get(k) for k in SCORES} for m, own in result["methods"].items()}


def png(path):
    return np.asarray(Image.open(path))


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_run_leaves_results_losses_predictions_and_overlays(whole_run):
    output, result = whole_run
    folder = output / "run"
    assert json.loads((folder / "result.json").read_text()) == json.loads(json.dumps(result))
    assert result["methods"].keys() == METHODS
    for scores in result["methods"].values():
        assert {"mIoU", "wIoU", "mVC8", "mVC16"} <= scores.keys()
        assert 0 <= scores["mIoU"] <= 1 and 0 <= scores["wIoU"] <= 1
        assert scores["mVC8"] is None  # three scored frames hold no window of eight
    assert [video["name"] for video in result["videos"]] == ["video_000", "video_001"]
    for video in result["videos"]:
        assert (video["frames"], video["warmup"], video["scored"]) == (5, 2, 3)
        short = f"{video['name']}: 3 scored frames are too few for mVC8 and mVC16"
        told = {"objects": 2, "teacher_seconds": 0.5, "warnings": [short]}
        assert video["details"] == told
        assert video["methods"].keys() == METHODS
        assert video["methods"]["ditta"]["targets"] == 2
        for told in video["methods"].values():
            assert told["frames_per_second"] > 0 and told["preparation_seconds"] >= 0
            assert told["kept_frozen"] is None and told["protocol"] == "freeze"
        assert video["seconds"].keys() == {"A", "B", "C", "D"}
        assert video["seconds"]["A"] > 1e-3  # with a teacher, it runs before the video has its turn
        assert video["scores"].keys() == METHODS
        assert {stage for stage, *_ in video["timeline"]["student"]} == set("ABCD")
        assert video["timeline"]["teacher"] == []  # it is imagined
    assert result["overlap"]["student_seconds"] > 0 and result["overlap"]["hidden"] is None
    assert result["failed"] == {} and result["peak_memory"]["bytes"] > 0
    assert {"packages", "devices", "commit"} <= result["environment"].keys()
    assert result["config"]["tta"]["iters"] == 2
    rows = lines(folder / "losses.jsonl")
    steps = [(r["video"], r["pass"], r["frame"]) for r in rows]
    names = ("video_000", "video_001")
    assert steps == [(v, i, t) for v in names for i in range(2) for t in range(WARMUP)]
    assert {r["method"] for r in rows} == {"ditta"}
    assert all((r["distill_fused"] is None) == (r["frame"] == 0) for r in rows)
    for name in names:
        for method in METHODS:
            predictions = sorted((folder / "predictions" / name / method).iterdir())
            assert [p.name for p in predictions] == [f"{t:05d}.png" for t in range(WARMUP, FRAMES)]
            first = png(predictions[0])
            assert first.shape == (96, 160) and first.max() < len(CLASSES)
        assert len(list((folder / "overlays" / name).glob("*.png"))) == 2
        assert (folder / "overlays" / name / "overlay.mp4").is_file()
        assert (folder / "film" / f"{name}.json").is_file()
    assert (folder / "report.html").is_file()
    schemas.check_run(folder)
    assert not list(output.rglob("*writing*")) and not list(output.rglob("*.partial*"))


def test_scores_are_those_of_the_predictions_on_disk(whole_run, base):
    from ditta_jax.data.sources import open_videos
    from ditta_jax.metrics.scores import VideoScores

    output, result = whole_run
    for method in METHODS:
        total = None
        for video in open_videos(base.data):
            scores = VideoScores(len(CLASSES), (8, 16))
            folder = output / "run" / "predictions" / video.name / method
            for t in range(WARMUP, FRAMES):
                scores.update(png(folder / f"{t:05d}.png"), video.labels[t])
            total = scores.finish() if total is None else total + scores.finish()
        for name in ("mIoU", "wIoU"):
            expected = pytest.approx(total.result()[name], abs=1e-12)
            assert result["methods"][method][name] == expected


def test_a_second_run_computes_no_video_again(whole_run, base, monkeypatch):
    output, result = whole_run

    def never(*_):
        raise AssertionError("a finished video was computed again")

    monkeypatch.setattr(all_videos, "adapt_group", never)
    again = all_videos.adapt_videos(settings(base, output))
    assert again["methods"] == result["methods"] and again["videos"] == result["videos"]


def count_groups(monkeypatch):
    """A list that the names of every group that is computed are added to."""
    groups, one = [], all_videos.adapt_group

    def counted(work, group, *rest):
        groups.append([video.name for video in group])
        return one(work, group, *rest)

    monkeypatch.setattr(all_videos, "adapt_group", counted)
    return groups


def test_a_killed_run_goes_on_and_ends_with_the_same_numbers(
    whole_run, base, monkeypatch, tmp_path
):
    done, segmentation = [], VideoWork.segmentation

    def killed(own):
        if own.name == "video_001" and not done:
            done.append(own.name)
            raise KeyboardInterrupt
        return segmentation(own)

    monkeypatch.setattr(VideoWork, "segmentation", killed)
    with pytest.raises(KeyboardInterrupt):
        all_videos.adapt_videos(settings(base, tmp_path))
    assert not (tmp_path / "run" / "result.json").exists()
    groups = count_groups(monkeypatch)
    result = all_videos.adapt_videos(settings(base, tmp_path))
    assert groups == [["video_001"]]
    assert scores_of(result) == scores_of(whole_run[1])
    theirs = lines(whole_run[0] / "run" / "losses.jsonl")
    assert lines(tmp_path / "run" / "losses.jsonl") == theirs  # each step once


# ---------------------------------------------------------------------------- videos side by side


@pytest.fixture
def double(base, tmp_path):
    """Settings in double precision: in single, last bits decide labels of this student."""
    config = settings(base, tmp_path)
    config.precision.compute = "float64"
    with precision.policy(**config.precision):
        yield config


def predictions(output):
    files = sorted((output / "run" / "predictions").rglob("*.png"))
    return {str(path.relative_to(output)): png(path).tobytes() for path in files}


def steps(rows):
    return [(row["video"], row["pass"], row["frame"]) for row in rows]


def test_videos_side_by_side_end_as_one_by_one(double, monkeypatch, tmp_path):
    one_by_one = all_videos.adapt_videos(double)
    expected, losses = predictions(tmp_path), lines(tmp_path / "run" / "losses.jsonl")
    groups, segmentation = count_groups(monkeypatch), VideoWork.segmentation
    double.output = str(tmp_path / "side_by_side")
    double.parallel.videos = 3
    side_by_side = all_videos.adapt_videos(double)
    assert groups == [["video_000", "video_001"]]
    assert predictions(tmp_path / "side_by_side") == expected
    assert scores_of(side_by_side) == scores_of(one_by_one)
    found = lines(tmp_path / "side_by_side" / "run" / "losses.jsonl")
    assert steps(found) == steps(losses)
    totals = ([row["total"] for row in rows] for rows in (found, losses))
    np.testing.assert_allclose(*totals, rtol=1e-9)
    seconds = [video["seconds"]["C"] for video in side_by_side["videos"]]
    assert seconds[0] == seconds[1] > 0

    # Killed in stage D of the second video, it goes on with that one only.
    double.output = str(tmp_path / "killed")
    groups.clear()

    def killed(own):
        if own.name == "video_001":
            raise KeyboardInterrupt
        return segmentation(own)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(VideoWork, "segmentation", killed)
        all_videos.adapt_videos(double)
    assert scores_of(all_videos.adapt_videos(double)) == scores_of(one_by_one)
    assert groups == [["video_000", "video_001"], ["video_001"]]
    assert steps(lines(tmp_path / "killed" / "run" / "losses.jsonl")) == steps(losses)
    assert predictions(tmp_path / "killed") == expected


@pytest.mark.eight_devices
def test_devices_share_the_videos_of_stage_d(base, tmp_path, monkeypatch, capsys):
    config = settings(base, tmp_path)
    config.methods = ("frozen",)  # any: nothing that compiles long
    one_by_one, expected = all_videos.adapt_videos(config), predictions(tmp_path)
    config.output, config.parallel.videos = str(tmp_path / "shared"), 2
    capsys.readouterr()
    shared = all_videos.adapt_videos(config)
    assert "video_000 to video_001: D: segmentation (6)" in capsys.readouterr().err
    assert predictions(tmp_path / "shared") == expected
    assert scores_of(shared) == scores_of(one_by_one)
    seconds = [video["seconds"]["D"] for video in shared["videos"]]
    assert seconds[0] == seconds[1] > 0

    # What cannot be done of one video is said of it, and the other is whole.
    draw = VideoWork._draw
    for error, words in ((UserError("no picture"), "no picture"), (MemoryError(), "not enough")):
        config.output = str(tmp_path / words)

        def refused(own, out, *rest, error=error):
            if own.name == "video_000":
                raise error
            return draw(own, out, *rest)

        monkeypatch.setattr(VideoWork, "_draw", refused)
        broken = all_videos.adapt_videos(config)
        assert list(broken["failed"]) == ["video_000"]
        assert broken["failed"]["video_000"].startswith(words)
        assert [video["name"] for video in broken["videos"]] == ["video_001"]
        assert broken["videos"][0]["scores"] == shared["videos"][1]["scores"]
        films = (tmp_path / words / "run" / "film").iterdir()
        assert [film.name for film in films] == ["video_001.json"]


def test_the_ground_truth_can_stand_in_for_the_teacher(base, tmp_path):
    config = settings(base, tmp_path, max_videos=1)
    config.teacher.update(config="ground-truth", checkpoint="")
    (video,) = all_videos.adapt_videos(config)["videos"]
    assert video["details"]["objects"] > 2 and video["methods"]["ditta"]["targets"] == WARMUP


def test_zero_shot_has_the_teacher_track_through_the_whole_video(base, tmp_path, capsys):
    config = settings(base, tmp_path, max_videos=1)
    config.methods = ("frozen", "ditta", "zero_shot")
    result = all_videos.adapt_videos(config)
    (video,) = result["videos"]
    lengths = [
        len(list((own / "frames").iterdir())) for own in (tmp_path / "teacher_cache").iterdir()
    ]
    assert sorted(lengths) == [WARMUP, FRAMES]
    told = video["methods"]
    assert [told[name]["teacher_seconds"] for name in config.methods] == [0.0, 0.5, 0.5]
    assert result["methods"]["zero_shot"]["teacher_seconds"] == 0.5
    assert "zero-shot SAM 2: its frames/s leave out the teacher" in capsys.readouterr().out
    assert told["zero_shot"]["objects"] == 2 and told["zero_shot"]["kept_frozen"] is None
    folder = tmp_path / "run"
    vouched = json.loads((folder / "videos" / "video_000.json").read_text())["masks"]
    assert len(vouched) == 2 and all(len(digest) == 64 for digest in vouched.values())
    for t in range(WARMUP, FRAMES):  # two rectangles at most, the student elsewhere
        ours, plain = (
            png(folder / "predictions" / "video_000" / name / f"{t:05d}.png")
            for name in ("zero_shot", "frozen")
        )
        assert 0 < (ours != plain).mean() < 0.6
    schemas.check_run(folder)
    assert all_videos.adapt_videos(config)["videos"] == result["videos"]  # none is computed again


@pytest.mark.robustness(
    "Run folders",
    "another method for videos that were finished without it",
    "it alone is computed; what shows all of them is drawn anew from the predictions on disk",
)
def test_a_further_method_is_computed_alone(base, monkeypatch, tmp_path, caplog, said):
    def run(output, *methods):
        config = settings(base, tmp_path / output, max_videos=1)
        config.methods = methods
        return all_videos.adapt_videos(config)

    def files(output):
        folder = tmp_path / output / "run"
        pictures = {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*.png")}
        kept = {p: data for p, data in pictures.items() if not str(p).startswith("earlier-")}
        film = json.loads((folder / "film" / "video_000.json").read_text())
        return kept, film, lines(folder / "losses.jsonl")

    at_once = run("whole", "frozen", "ditta", "zero_shot")
    before = run("bit", "frozen", "ditta")
    learns = type(ditta.METHOD)

    def never(*_):
        raise AssertionError("a method was computed again")

    monkeypatch.setattr(learns, "prepare_many", never)
    monkeypatch.setattr(learns, "step", never)
    found = run("bit", "frozen", "ditta", "zero_shot")
    assert "video_000: frozen, ditta as before, from earlier-1" in said(caplog.messages[-1])
    assert list(found["methods"]) == ["frozen", "ditta", "zero_shot"]
    assert scores_of(found) == scores_of(at_once) and files("bit") == files("whole")
    (video,) = found["videos"]
    assert video["details"]["taken_over"] == ["frozen", "ditta"]
    assert video["methods"]["ditta"] == before["videos"][0]["methods"]["ditta"]
    schemas.check_run(tmp_path / "bit" / "run")

    again = run("bit", "frozen", "ditta")  # all of it is there still
    assert "back from earlier-1" in caplog.messages[-1] and again["videos"] == before["videos"]
    fewer = run("bit", "zero_shot", "ditta")
    assert list(fewer["methods"]) == ["zero_shot", "ditta"]
    assert scores_of(fewer) == {m: scores_of(at_once)[m] for m in fewer["methods"]}
    shown = {p.parent.name for p in files("bit")[0] if p.parts[0] == "predictions"}
    assert shown == {"zero_shot", "ditta"}


def test_a_supervised_student_runs_beside_the_frozen_one(base, student, tmp_path):
    trained, card = checkpoint.load(student)
    other = tmp_path / "trained"
    checkpoint.save(other, trained, card._replace(source={"fusion": "trained"}))
    config = settings(base, tmp_path, max_videos=1)
    config.methods = ("frozen", "supervised")
    with pytest.raises(UserError, match="temporal fusion that was never trained"):
        all_videos.adapt_videos(config)
    config.student.supervised = str(other)
    (video,) = all_videos.adapt_videos(config)["videos"]
    told = video["methods"]["supervised"]
    assert told["kept_frozen"] is None and told["teacher_seconds"] == 0.0
    assert not (tmp_path / "teacher_cache").exists()
    parts = json.loads((tmp_path / "run" / "videos" / "video_000.json").read_text())["parts"]
    assert parts["the trained student's weights"] == parts["the student's weights"]


def test_the_ground_truth_stands_in_on_whole_videos_too(base, tmp_path):
    config = settings(base, tmp_path, max_videos=1)
    config.teacher.update(config="ground-truth", checkpoint="")
    config.methods = ("frozen", "zero_shot")
    (video,) = all_videos.adapt_videos(config)["videos"]
    told = video["methods"]["zero_shot"]
    assert told["objects"] > 2 and told["teacher_seconds"] is None


@pytest.fixture
def folder_of_frames(base, tmp_path):
    """The frames of one tiny video as files, without labels."""
    from ditta_jax.data.sources import open_videos

    video = open_videos(base.data)[0]
    folder = tmp_path / "street"
    folder.mkdir()
    for t in range(FRAMES):
        (folder / f"{t}.jpg").write_bytes(video.frames.encoded(t))
    return folder


def test_unlabelled_frames_give_predictions_and_no_scores(base, folder_of_frames, tmp_path):
    config = settings(base, tmp_path, kind="folder", path=str(folder_of_frames))
    result = all_videos.adapt_videos(config)
    assert result["methods"].keys() == METHODS and result["videos"][0]["scores"] == {}
    assert not any("mIoU" in own for own in result["methods"].values())
    predictions = tmp_path / "run" / "predictions" / "street" / "ditta"
    assert sorted(p.name for p in predictions.iterdir()) == ["2.png", "3.png", "4.png"]
    assert (tmp_path / "run" / "losses.jsonl").stat().st_size > 0


# ---------------------------------------------------------------------------- errors


def fails(config):
    with pytest.raises(UserError) as caught:
        all_videos.adapt_videos(config)
    return str(caught.value)


def test_an_empty_folder_is_named(base, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert str(empty) in fails(settings(base, tmp_path, kind="folder", path=str(empty)))


def test_a_frame_of_another_size_is_named(base, folder_of_frames, tmp_path):
    Image.fromarray(np.zeros((90, 160, 3), np.uint8)).save(folder_of_frames / "1.jpg")
    message = fails(settings(base, tmp_path, kind="folder", path=str(folder_of_frames)))
    assert "1.jpg" in message and "90" in message


def labelled(folder, masks):
    """Moves frames to origin/ and writes masks of (name, size) beside them."""
    (folder / "origin").mkdir()
    (folder / "mask").mkdir()
    for file in folder.glob("*.jpg"):
        file.rename(folder / "origin" / file.name)
    for name, size in masks:
        Image.fromarray(np.zeros(size, np.uint8)).save(folder / "mask" / f"{name}.png")


@pytest.mark.robustness(
    "Masks and labels", "a frame without mask", "the others are scored; mVC is left out, said so"
)
def test_a_frame_without_a_mask(base, folder_of_frames, tmp_path, capsys, said):
    labelled(folder_of_frames, [(t, (96, 160)) for t in range(FRAMES - 1)])
    config = settings(base, tmp_path, kind="folder", path=str(folder_of_frames))
    config.metrics.windows = (1,)
    result = all_videos.adapt_videos(config)
    assert all(m["mIoU"] is not None and m["mVC1"] is None for m in result["methods"].values())
    (warning,) = result["videos"][0]["details"]["warnings"]
    assert "1 of 5 frames have no mask" in said(warning)
    assert "1 of 5 frames have no mask" in capsys.readouterr().out


@pytest.mark.robustness(
    "Frames and videos", "--dry-run", "videos, programs, memory, caches; nothing is started"
)
def test_a_dry_run_starts_nothing(base, folder_of_frames, tmp_path, capsys, said):
    labelled(folder_of_frames, [(t, (96, 160 - (t == 3))) for t in range(FRAMES)])
    config = settings(base, tmp_path, kind="folder", path=str(folder_of_frames))
    assert adapt.tell_plan(config) == 1
    told = capsys.readouterr().out
    assert "one column less than its frame" in said(told.splitlines()[-2])
    assert told.endswith("0 videos would be done, 1 cannot; nothing was started\n")
    assert not (tmp_path / "run").exists()


def test_a_video_without_room_in_memory_is_refused_with_the_numbers(base, tmp_path, capsys):
    config = settings(base, tmp_path, max_videos=1)
    config.parallel.memory_gb = 1e-6
    message = fails(config)
    assert "video_000: 96x160 and a warm-up of 2 frames need about 0.0" in message
    assert "parallel.memory_gb allows 0.00 GB" in message
    capsys.readouterr()
    assert adapt.tell_plan(config) == 1
    assert f"cannot be done: {message.partition('; ')[2]}" in capsys.readouterr().out
    config.parallel.memory_gb = 1.0
    assert adapt.tell_plan(config) == 0
    assert "GB with 1 at once (stage C), parallel.memory_gb allows 1.00" in capsys.readouterr().out


def test_a_mask_of_another_size_is_named(base, folder_of_frames, tmp_path):
    labelled(folder_of_frames, [(t, (96, 160 - (t == 3))) for t in range(FRAMES)])
    message = fails(settings(base, tmp_path, kind="folder", path=str(folder_of_frames)))
    assert "3.png" in message and "159" in message


def test_classes_that_are_not_the_students_are_refused(base, tmp_path, monkeypatch):
    config = settings(base, tmp_path)
    config.classes = ("road", "sky")
    assert "other classes" in fails(config)
    config = settings(base, tmp_path, kind="folder", path=str(tmp_path))
    config.classes = ("road", "sky")
    assert "11 classes" in fails(config)


def test_a_video_without_frames_to_score_is_refused(base, tmp_path, folder_of_frames):
    for t in range(1, FRAMES):
        (folder_of_frames / f"{t}.jpg").unlink()
    message = fails(settings(base, tmp_path, kind="folder", path=str(folder_of_frames)))
    assert "street" in message and "nothing is left to score" in message


def run_program(tmp_path, text, *arguments):
    file = tmp_path / "settings.py"
    file.write_text(text)
    return subprocess.run(
        [sys.executable, "-m", "ditta_jax.adapt", "--config", str(file), *arguments],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env={"PATH": "", "XDG_CACHE_HOME": str(tmp_path), "JAX_PLATFORMS": "cpu"},
    )


SETTINGS = """
from ditta_jax.configuration import default_config as get_config
"""


def test_the_program_ends_with_one_line_and_status_two(tmp_path):
    done = run_program(tmp_path, SETTINGS, f"--config.student.checkpoint={tmp_path / 'none'}")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {tmp_path / 'none'}: no such checkpoint folder")


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("--config.tta.train=everything", "'tta.train' must be one of decoder"),
        ("--config.warmup.percent=0", "'warmup.percent' must be above 0"),
        ("--config.name=../up", "'name' must be a name for a folder, not '../up': it is a path"),
        ("--config.name=/tmp/x", "it is a path"),
        ("--config.name=..", "it is a path"),
        ("--config.name=", "it is empty"),
        ("--config.precision.compute=float8", "'precision.compute' must be one of"),
        ("--config.parallel.videos=0", "'parallel.videos' must be in 1"),
    ],
)
def test_wrong_values_are_refused_before_any_work(tmp_path, monkeypatch, argument, words):
    file = tmp_path / "settings.py"
    file.write_text(SETTINGS)
    monkeypatch.setattr(sys, "argv", ["adapt", "--config", str(file), argument])
    with pytest.raises(UserError, match=words):
        adapt.main()

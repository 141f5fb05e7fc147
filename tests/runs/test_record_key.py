import dataclasses

import numpy as np
import pytest
from PIL import Image

from ditta_jax.configuration import default_config
from ditta_jax.data.folder import FolderRules, open_folder
from ditta_jax.data.layouts import Place
from ditta_jax.data.masks import MaskRules
from ditta_jax.data.video import FrameSequence, Video
from ditta_jax.runs import record_key


def parts(**changes):
    config = default_config()
    config.update_from_flattened_dict(changes)
    return record_key.plain(record_key.settings_parts(config.to_dict()))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("name", "b"), ("output", "b"), ("parallel.videos", 2), ("report.overlays", 9)),
        *(("report.predictions", False), ("report.tensorboard", True), ("data.max_videos", 3)),
        *(("data.path", "moved"), ("student.checkpoint", "moved"), ("train.lr", 0.5)),
        *(("train.steps", 3), ("teacher.threads", 3), ("teacher.cache", "b")),
        *(("teacher.python", "python3"), ("teacher.device", "cuda"), ("teacher.run", False)),
        ("teacher.checkpoint", "moved"),
    ],
)
def test_what_changes_no_result_is_no_part(key, value):
    assert parts(**{key: value}) == parts()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(
            ("seed", 1),
            ("tta.lr", 0.5),
            ("tta.iters", 1),
            ("tta.dropout", 0.5),
            ("loss.on", "logits"),
        ),
        *(("vote.area_power", 0.5), ("encoder.stochastic_depth", 0.1), ("fusion.threshold", 0.5)),
        *(("precision.compute", "bfloat16"), ("input.scale", (64, 64)), ("input.divisor", 16)),
        *(("metrics.windows", (4,)), ("teacher.threshold_first", 0.5), ("teacher.max_objects", 5)),
    ],
)
def test_what_changes_results_is_a_part_and_is_told(key, value):
    before, now = parts(), parts(**{key: value})
    shown = ",".join(map(str, value)) if isinstance(value, tuple) else value
    told = record_key.differences(before, now)
    assert told.startswith(f"{key} ") and told.endswith(f" → {shown}")


def test_a_setting_that_is_new_is_a_part_until_it_is_named_as_none():
    config = default_config().to_dict() | {"unheard": {"of": 1}}
    assert record_key.settings_parts(config)["unheard.of"] == 1


# ---------------------------------------------------------------------------- the video


@pytest.fixture
def folder(tmp_path):
    for kind in ("origin", "mask"):
        (tmp_path / kind).mkdir()
    for t in range(4):
        random = np.random.default_rng(t)
        frame, mask = random.integers(0, 9, (6, 8, 3)), random.integers(0, 2, (6, 8))
        Image.fromarray(frame.astype(np.uint8)).save(tmp_path / "origin" / f"{t}.png")
        Image.fromarray(mask.astype(np.uint8)).save(tmp_path / "mask" / f"{t}.png")
    return tmp_path


def of_video(folder, max_frames=0, **reading):
    rules = FolderRules(MaskRules(**reading), max_frames=max_frames)
    video = open_folder(Place("street", folder / "origin", folder / "mask"), rules)
    return record_key.video_parts(video, 1, 1)


def repaint(file):
    Image.fromarray(255 - np.asarray(Image.open(file))).save(file)


def test_the_same_files_elsewhere_are_the_same_video(folder, tmp_path_factory):
    before = of_video(folder)
    moved = folder.rename(tmp_path_factory.mktemp("b") / "moved")
    assert of_video(moved) == before


@pytest.mark.parametrize("t", range(4))
def test_every_frame_counts(folder, t):
    before = of_video(folder)
    repaint(folder / "origin" / f"{t}.png")
    assert record_key.differences(before, of_video(folder)) == "the frames changed"


@pytest.mark.parametrize("t", range(4))
def test_the_truth_of_scored_frames_counts(folder, t):
    before = of_video(folder, ignore=(254,))
    repaint(folder / "mask" / f"{t}.png")
    told = record_key.differences(before, of_video(folder, ignore=(254,)))
    assert told == ("the ground truth changed" if t >= 1 else "")


def test_how_labels_are_read_counts(folder):
    told = record_key.differences(of_video(folder), of_video(folder, ignore=(1, 255)))
    assert told == "the ground truth changed"
    told = record_key.differences(of_video(folder), of_video(folder, convention="vspw"))
    assert told == "the ground truth changed"


def test_another_number_or_name_of_frames_counts(folder):
    before = of_video(folder)
    assert "the frames changed" in record_key.differences(before, of_video(folder, max_frames=3))
    for kind in ("origin", "mask"):
        (folder / kind / "3.png").rename(folder / kind / "33.png")
    assert "the frames changed" in record_key.differences(before, of_video(folder))


def test_where_the_video_is_cut_counts(folder):
    video = open_folder(Place("street", folder / "origin", folder / "mask"))
    told = record_key.differences(
        record_key.video_parts(video, 1, 1), record_key.video_parts(video, 2, 2)
    )
    assert "warm-up frames 1 → 2" in told and "first scored frame 1 → 2" in told


def test_frames_that_are_no_files_count_by_their_pixels():
    @dataclasses.dataclass
    class Frames(FrameSequence):
        value: int

        def __len__(self):
            return 2

        def __getitem__(self, index):
            return np.full((4, 5, 3), self.value + index, np.uint8)

        def frame_name(self, index):
            return str(index)

    def digest(value):
        return record_key.video_parts(Video("v", (4, 5), Frames(value), None), 1, 1)["the frames"]

    assert digest(1) == digest(1) != digest(2)


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        ({"a": 1}, {"a": 1}, ""),
        ({"a": 1}, {}, "a is gone"),
        ({}, {"a": 1}, "a is new"),
        ({"a": None}, {"a": 64 * "0"}, "a changed"),
        ({"a": [1, 2], "b": True}, {"a": [1, 3], "b": False}, "a 1,2 → 1,3; b True → False"),
    ],
)
def test_differences_are_told_in_words(before, now, told):
    assert record_key.differences(before, now) == told

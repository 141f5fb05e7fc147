import numpy as np
import pytest

from ditta_jax.configuration import default_config
from ditta_jax.data.video import FrameSequence, Video
from ditta_jax.errors import UserError
from ditta_jax.runs import stages
from ditta_jax.students.segformer.config import SegFormerConfig
from ditta_jax.students.student import new_student

CONFIG = SegFormerConfig(
    3, (3, 4, 4, 5), (1, 1, 1, 1), (1, 1, 1, 1), (8, 4, 2, 1), 1, embed_dim=6, radius=1
)
SIZE = (30, 44)


class RandomFrames(FrameSequence):
    def __init__(self, length):
        self._frames = np.random.default_rng(0).integers(0, 256, (length, *SIZE, 3), np.uint8)

    def __len__(self):
        return len(self._frames)

    def __getitem__(self, index):
        return self._frames[index]

    def frame_name(self, index):
        return f"{index:03d}"


@pytest.fixture(scope="module")
def config():
    config = default_config()
    config.input.scale = (32, 32)
    config.warmup.percent = 50.0
    return config


@pytest.fixture(scope="module")
def model():
    return stages.take_apart(new_student(CONFIG), "float32")


@pytest.fixture(scope="module")
def video():
    return Video("street", SIZE, RandomFrames(5), None)


@pytest.fixture(scope="module")
def frozen(model, video, config):
    return stages.label_warm_up(model, video, config, lambda: None)


@pytest.mark.parametrize(
    ("frames", "percent", "warmup", "first"),
    [(70, 10, 7, 7), (79, 10, 7, 7), (9, 10, 1, 1), (71, 25, 17, 17), (71, 50, 35, 35)]
    + [(71, 100, 71, 0), (1, 50, 1, 1), (30, 10, 3, 3)],
)
def test_warm_up_then_freeze(frames, percent, warmup, first):
    assert stages.warm_up_length(frames, percent) == warmup
    assert stages.first_scored(frames, percent) == first


def test_stage_a_labels_the_warm_up_frames_only(frozen, video, config):
    assert frozen.labels.shape == frozen.reliability.shape == (2, *SIZE)
    assert frozen.labels.max() < 3
    assert 0 <= frozen.reliability.min() <= frozen.reliability.max() <= 1
    assert frozen.input_size == (32, 32) and len(frozen.features) == 2
    np.testing.assert_array_equal(frozen.last[0], frozen.features[1][0])
    config = config.copy_and_resolve_references()
    config.teacher.update(threshold_first=0.7, threshold_later=0.6, max_objects=9)
    request = stages.request_of(video, frozen, 3, config)
    assert request.frames == ("000", "001") and request.thresholds == (0.7, 0.6)
    assert request.max_objects == 9
    counts = np.bincount(frozen.labels.ravel(), minlength=3)
    np.testing.assert_array_equal(request.pixels_per_class(), counts)


def test_without_targets_nothing_is_adapted(model, frozen, config):
    network, rows = stages.adapt_to(model, frozen, [None, None], config)
    assert network is model.network and rows == []


def test_chunks_and_their_padding_change_no_label(model, frozen, video, config, monkeypatch):
    whole = list(stages.segment_rest(model, model.network, frozen, video, config))
    assert [out.index for out in whole] == [2, 3, 4]
    monkeypatch.setattr(stages, "CHUNK", 2)
    chunks = list(stages.segment_rest(model, model.network, frozen, video, config))
    for ours, theirs in zip(chunks, whole, strict=True):
        assert ours.index == theirs.index
        np.testing.assert_array_equal(ours.frame, video.frames[ours.index])
        np.testing.assert_array_equal(ours.adapted, theirs.adapted)
        np.testing.assert_array_equal(ours.frozen, theirs.frozen)


@pytest.mark.parametrize(
    ("key", "value"),
    [("tta.train", "all"), ("loss.on", "scores"), ("fusion.attention", "dense")],
)
def test_unknown_settings_are_refused(config, key, value):
    section, name = key.split(".")
    changed = config.copy_and_resolve_references()
    changed[section][name] = value
    with pytest.raises(UserError, match=f"{key} must be one of .*not '{value}'"):
        stages.settings(changed, (32, 32))


def test_settings_reach_the_compiled_adaptation(config):
    changed = config.copy_and_resolve_references()
    changed.tta.update(lr=0.5, dropout=0.25, momentum=0.75)
    changed.loss.update(on="logits", temperature=2.0)
    changed.encoder.stochastic_depth = 0.1
    changed.fusion.attention = "pallas"
    found = stages.settings(changed, (32, 64))
    assert found._asdict() | {"compute": None} == {
        "input_size": (32, 64),
        "train": "decoder",
        "loss_on": "logits",
        "dropout": 0.25,
        "stochastic_depth": 0.1,
        "temperature": 2.0,
        "attention": "pallas",
        "compute": None,
    }
    numbers = stages.hyperparameters(changed)
    assert (numbers.lr, numbers.momentum, numbers.weight_decay) == (0.5, 0.75, 1e-2)

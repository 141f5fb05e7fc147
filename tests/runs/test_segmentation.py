import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ditta_jax.errors import UserError
from ditta_jax.methods import ditta, registry
from ditta_jax.methods.protocol import Prepared
from ditta_jax.metrics.counts import Counting
from ditta_jax.metrics.scores import VideoScores
from ditta_jax.runs import segmentation, stages
from ditta_jax.runs.placement import OverDevices
from ditta_jax.runs.segmentation import Clocks, Rest, score, segment_rest, segment_videos
from ditta_jax.students.platform import compiling_for
from tests.runs.tiny_video import CONFIG, SIZE, RandomFrames


def segment(model, frames, settings, prepared, first=2):
    methods = [registry.named(name) for name in ("frozen", "ditta") if name in prepared]
    clocks = Clocks(methods)
    rest = Rest(prepared, frames, first, clocks)
    return list(segment_rest(model, methods, rest, SIZE, settings)), clocks


@pytest.fixture(scope="module")
def prepared(model, warm_up):
    return {
        "frozen": Prepared(()),
        "ditta": Prepared(ditta.first_state(model, model.network, warm_up)),
    }


def test_chunks_and_their_padding_change_no_label(model, frames, settings, prepared, monkeypatch):
    whole, clocks = segment(model, frames, settings, prepared)
    assert [out.index for out in whole] == [2, 3, 4] and clocks.frames == stages.CHUNK
    monkeypatch.setattr(stages, "CHUNK", 2)
    chunks, _ = segment(model, frames, settings, prepared)
    for ours, theirs in zip(chunks, whole, strict=True):
        assert ours.index == theirs.index
        np.testing.assert_array_equal(ours.frame, frames[ours.index])
        for method in prepared:
            np.testing.assert_array_equal(ours.labels[method], theirs.labels[method])


def test_the_frozen_student_is_computed_only_where_it_is_asked_for(
    model, frames, settings, prepared, monkeypatch
):
    def never(*_):
        raise AssertionError("the frozen student was computed")

    monkeypatch.setattr(type(registry.named("frozen")), "step", never)
    jax.clear_caches()
    (first, *_), clocks = segment(model, frames, settings, {"ditta": prepared["ditta"]})
    assert first.labels.keys() == {"ditta"}
    assert clocks.methods["ditta"].seconds > 0 == clocks.methods["frozen"].seconds


def test_a_method_that_keeps_the_frozen_students_labels_is_given_them(
    model, frames, settings, prepared
):
    both, _ = segment(model, frames, settings, prepared)
    kept = {"ditta": prepared["ditta"]._replace(kept_frozen="nothing was learnt")}
    alone, _ = segment(model, frames, settings, kept)
    for ours, theirs in zip(alone, both, strict=True):
        assert ours.labels.keys() == {"ditta"}
        np.testing.assert_array_equal(ours.labels["ditta"], theirs.labels["frozen"])
    assert any((out.labels["ditta"] != out.labels["frozen"]).any() for out in both)


def test_speeds_count_the_shared_encoder_and_a_methods_own_part_only(
    model, frames, settings, prepared
):
    _, clocks = segment(model, frames, settings, prepared)
    for method in prepared:
        seconds = clocks.encoder.seconds + clocks.methods[method].seconds
        assert clocks.frames_per_second(method) == pytest.approx(stages.CHUNK / seconds)


# ---------------------------------------------------------------------------- scores


class SparseLabels:
    """Random label maps, some ignored pixels, every fifth frame without."""

    def __init__(self, seed):
        self._seed = seed

    def __getitem__(self, index):
        random = np.random.default_rng([self._seed, index // 2])  # two frames are alike
        label = random.choice(np.array([0, 1, 2, 255], np.uint8), SIZE)
        return None if index % 5 == 4 and self._seed else label


def scores_by(found, method, setting=None):
    scores = VideoScores(CONFIG.num_classes, (2, 3))
    for out in found:
        score(scores, out, method, setting)
    return scores.finish().to_json()


def by_host_and_device(monkeypatch, *arguments, **several):
    """What stage D finds where the host counts, and where the device does."""
    found = []
    for on_device in (False, True):
        monkeypatch.setattr(segmentation, "_counts_on_device", lambda on=on_device: on)
        found.append(list(segment_rest(*arguments, **several)))
        assert [out.counts is not None for out in found[-1]] == [on_device] * 10
    return found  # ten frames: two chunks, the last one filled up


@pytest.mark.parametrize(("platform", "on_device"), [("cpu", False), ("gpu", True), ("tpu", True)])
def test_only_a_cpu_leaves_the_counting_to_the_host(platform, on_device):
    with compiling_for(platform):
        assert segmentation._counts_on_device() is on_device


@pytest.mark.parametrize("seed", [0, 1], ids=["dense", "sparse"])
def test_what_the_device_counts_gives_the_scores_of_the_host(
    model, settings, prepared, monkeypatch, seed
):
    frames, labels = RandomFrames(12), SparseLabels(seed)
    methods = [registry.named("frozen"), registry.named("ditta")]
    counting = Counting(CONFIG.num_classes, (2, 3))
    rest = Rest(prepared, frames, 2, Clocks(methods), labels, counting)
    host, device = by_host_and_device(monkeypatch, model, methods, rest, SIZE, settings)
    for name in prepared:
        assert scores_by(device, name) == scores_by(host, name)
    assert bool(scores_by(device, "ditta")["window_count"][0]) == (seed == 0)


def test_what_the_device_counts_of_each_setting_of_a_sweep(model, settings, prepared, monkeypatch):
    methods = [registry.named("frozen"), registry.named("ditta")]
    sharp = jax.tree.map(lambda x: 3 * x, prepared["ditta"].state.network.params)
    one = prepared["ditta"].state
    other = one._replace(network=one.network._replace(params=sharp))
    both = Prepared(jax.tree.map(lambda *x: jnp.stack(x), one, other))
    counting = Counting(CONFIG.num_classes, (2, 3))
    start = {**prepared, "ditta": both}
    rest = Rest(start, RandomFrames(12), 2, Clocks(methods), SparseLabels(0), counting)
    arguments = model, methods, rest, SIZE, settings
    host, device = by_host_and_device(monkeypatch, *arguments, several=["ditta"])
    each = [scores_by(device, "ditta", k) for k in (0, 1)]
    assert each == [scores_by(host, "ditta", k) for k in (0, 1)] and each[0] != each[1]
    assert scores_by(device, "frozen") == scores_by(host, "frozen")


# ---------------------------------------------------------------------------- side by side


class BreaksAt(RandomFrames):
    def __init__(self, length, broken):
        super().__init__(length)
        self._broken = broken

    def __getitem__(self, index):
        if index == self._broken:
            raise UserError(f"frame {index} does not decode")
        return super().__getitem__(index)


def rest_of(model, settings, frames, methods, seed=0, kept=None):
    warm_up = stages.label_warm_up(model, frames, settings, stop=2)
    state = ditta.first_state(model, model.network, warm_up)
    counting = Counting(CONFIG.num_classes, (2, 3))
    prepared = {"frozen": Prepared(()), "ditta": Prepared(state, kept_frozen=kept)}
    return Rest(prepared, frames, 2, Clocks(methods), SparseLabels(seed), counting)


@pytest.mark.eight_devices
@pytest.mark.parametrize("devices", [2, 8])
def test_side_by_side_over_devices_as_one_by_one(model, settings, devices, monkeypatch):
    """Of other lengths; one keeps the frozen labels, one breaks in its second chunk."""
    monkeypatch.setattr(segmentation, "_counts_on_device", lambda: True)
    methods = [registry.named("frozen"), registry.named("ditta")]
    rests = [
        rest_of(model, settings, RandomFrames(5, seed=1), methods)._replace(
            labels=None, counting=None
        ),
        rest_of(model, settings, BreaksAt(13, broken=11), methods),
        rest_of(model, settings, RandomFrames(12, seed=2), methods, seed=1),
        rest_of(model, settings, RandomFrames(4, seed=3), methods, kept="nothing was learnt"),
    ]
    expected = [
        list(segment_rest(model, methods, own, SIZE, settings))
        for own in (rests[0], rests[2], rests[3])
    ]
    place = OverDevices(model, jax.devices()[:devices])
    found = [[] for _ in rests]
    for v, out in segment_videos(model, methods, rests, SIZE, settings, place):
        found[v].append(out)
    assert [str(out) for out in found[1][8:]] == ["frame 11 does not decode"]
    for ours, theirs in zip((found[0], found[2], found[3]), expected, strict=True):
        assert [out.index for out in ours] == [out.index for out in theirs]
        for a, b in zip(ours, theirs, strict=True):
            assert a.labels.keys() == b.labels.keys() == {"frozen", "ditta"}
            for name in a.labels:
                np.testing.assert_array_equal(a.labels[name], b.labels[name])
            jax.tree.map(np.testing.assert_array_equal, a.counts, b.counts)
    assert [own[0].counts is None for own in found] == [True, False, False, False]
    assert any((out.labels["ditta"] != out.labels["frozen"]).any() for out in found[2])
    assert rests[2].clocks.frames == 2 * (2 * stages.CHUNK)  # alone, and side by side
    assert rests[3].clocks.frames == 2 * stages.CHUNK

import dataclasses

import jax
import numpy as np
import pytest
from flax import nnx

from ditta_jax.algorithm.model import take_apart
from ditta_jax.data.preprocess import to_input
from ditta_jax.errors import UserError
from ditta_jax.runs import stages
from ditta_jax.students.platform import compiling_for
from ditta_jax.students.student import new_student
from tests.runs.tiny_video import CONFIG, SIZE


def test_weights_that_converters_leave_on_the_host_go_to_the_device_once(model):
    student = new_student(CONFIG)
    nnx.update(student, jax.tree.map(np.asarray, nnx.state(student)))
    own = take_apart(student, "float32")
    for found, expected in zip(jax.tree.leaves(own[1:3]), jax.tree.leaves(model[1:3]), strict=True):
        assert isinstance(found, jax.Array)
        np.testing.assert_array_equal(found, expected)


def test_stage_a_labels_the_warm_up_frames_only(warm_up):
    assert warm_up.labels.shape == warm_up.reliability.shape == (2, *SIZE)
    assert warm_up.labels.max() < 3 and warm_up.size == SIZE
    assert 0 <= warm_up.reliability.min() <= warm_up.reliability.max() <= 1
    assert warm_up.input_size == (32, 32) and len(warm_up.features) == 2
    assert warm_up.images is None and not warm_up.scored
    np.testing.assert_array_equal(warm_up.last[0], warm_up.features[1][0])


def test_stage_a_keeps_images_where_a_method_needs_them(model, frames, settings):
    found = stages.label_warm_up(model, frames, settings, stop=1, images=True)
    (image,) = found.images
    np.testing.assert_array_equal(image, to_input(frames[0], (32, 32)))
    deep = dataclasses.replace(settings, stochastic_depth=0.1)
    recomputed = stages.label_warm_up(model, frames, deep, stop=1)
    np.testing.assert_array_equal(recomputed.features[0], image)


@pytest.mark.parametrize("at_once", [2, 3])  # three frames: with padding, and without
def test_a_batch_of_warm_up_frames_is_labelled_as_one_by_one(
    model, frames, settings, at_once, monkeypatch
):
    single = stages.label_warm_up(model, frames, settings, stop=3, images=True)
    monkeypatch.setattr(stages, "_warm_up_frames_at_once", lambda: at_once)
    batched = stages.label_warm_up(model, frames, settings, stop=3, images=True)
    np.testing.assert_array_equal(batched.labels, single.labels)
    np.testing.assert_allclose(batched.reliability, single.reliability, rtol=0, atol=1e-6)
    assert len(batched.features) == len(batched.images) == 3
    for found, expected in (
        (batched.features, single.features),
        (batched.images, single.images),
        (batched.last, single.last),
    ):
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("platform", "frames_at_once"), [("cpu", 1), ("gpu", 8), ("tpu", 8)])
def test_only_a_cpu_labels_warm_up_frames_one_by_one(platform, frames_at_once):
    with compiling_for(platform):
        assert stages._warm_up_frames_at_once() == frames_at_once


def test_an_array_serves_as_frames(model, frames, settings, warm_up):
    array = np.stack([frames[t] for t in range(2)])
    found = stages.label_warm_up(model, array, settings)
    np.testing.assert_array_equal(found.labels, warm_up.labels)


def test_a_student_whose_output_is_not_finite_is_named(model, frames, settings):
    classifier = model.network.params["decoder"]["classifier"]
    broken = {**classifier, "bias": classifier["bias"] * np.nan}
    params = {**model.network.params, "decoder": {**model.network.params["decoder"]}}
    params["decoder"]["classifier"] = broken
    network = model.network._replace(params=params)
    with pytest.raises(UserError, match="street: the student's output on frame 0 is not finite"):
        stages.label_warm_up(model._replace(network=network), frames, settings, "street", stop=2)

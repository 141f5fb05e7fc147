"""Each stage of one step against the twin: encoder, decoder, losses, gradients, updates."""

import numpy as np
import pytest

from tests.parity import stages_ours
from tests.parity.golden import Golden
from tests.parity.measure import NO_GRADIENT, Comparison, relative_error
from tests.parity.scene import golden_scene

DOUBLE = 1e-12  # measured 1e-14 and below; the bar for losses and gradients is 1e-9


@pytest.fixture(scope="module")
def comparison(golden) -> Comparison:
    """The clip of the golden run's first step with two frames."""
    return Comparison([golden_scene(Golden(golden))])


def names(results, kind: str) -> list[str]:
    """Keys of a step's results that start with `kind`, without the prefix."""
    return [key.removeprefix(f"{kind}/") for key in results if key.startswith(f"{kind}/")]


def test_forward_stages_in_double_precision(comparison):
    ours, twin = (comparison.results("forward", who, "float64") for who in ("ours", "twin"))
    assert ours.keys() == twin.keys()
    for name in ("label (stage A)", "label (stage D)"):
        np.testing.assert_array_equal(ours[name], twin[name], err_msg=name)
    errors = {name: relative_error(ours[name], twin[name]) for name in twin}
    assert max(errors.values()) < DOUBLE, errors


@pytest.mark.parametrize("stage", ["step", "step at t = 0"])
def test_losses_and_gradients_in_double_precision(comparison, stage):
    ours, twin = (comparison.results(stage, who, "float64") for who in ("ours", "twin"))
    assert ours.keys() == twin.keys()
    for name in names(twin, "loss"):
        key = f"loss/{name}"
        assert relative_error(ours[key], twin[key]) < DOUBLE, (name, ours[key], twin[key])
    gradients = names(twin, "gradient")
    assert len(gradients) == 27
    largest = max(np.abs(twin[f"gradient/{name}"]).max() for name in gradients)
    for name in gradients:
        mine, theirs = ours[f"gradient/{name}"], twin[f"gradient/{name}"]
        if name in NO_GRADIENT:
            assert max(np.abs(mine).max(), np.abs(theirs).max()) < 1e-13 * largest, name
        else:
            assert relative_error(mine, theirs) < DOUBLE, name


@pytest.mark.parametrize("stage", ["step", "step at t = 0"])
@pytest.mark.parametrize("network", ["live", "momentum"])
def test_updates_in_double_precision(comparison, stage, network):
    """AdamW, the momentum average and both running statistics."""
    ours, twin = (comparison.results(stage, who, "float64") for who in ("ours", "twin"))
    for name in names(twin, network):
        if name not in NO_GRADIENT:
            key = f"{network}/{name}"
            assert relative_error(ours[key], twin[key]) < DOUBLE, key
    assert relative_error(ours["prototypes"], twin["prototypes"]) < DOUBLE


def test_frame_0_leaves_the_fusion_as_it_is(comparison):
    """torch takes no step, not even weight decay, where there is no gradient."""
    ours = comparison.results("step at t = 0", "ours", "float64")
    assert np.isnan(ours["loss/fused"])
    for name in names(ours, "live"):
        moved = not np.array_equal(ours[f"live/{name}"], comparison.scenes[0].weights[name])
        assert moved == (not name.startswith(("decode_head.query", "decode_head.key"))), name


def test_a_frame_without_objects_leaves_the_projection_as_it_is(comparison):
    scene = comparison.scenes[0]
    empty = Comparison([scene._replace(object_ids=np.zeros_like(scene.object_ids))])
    ours, twin = (empty.results("step", who, "float64") for who in ("ours", "twin"))
    assert np.isnan(ours["loss/contrast"])
    assert np.isnan(twin["loss/contrast"])
    for name in names(ours, "live"):
        if name not in NO_GRADIENT:
            assert relative_error(ours[f"live/{name}"], twin[f"live/{name}"]) < DOUBLE, name
        if name.startswith("decode_head.proj_feat"):
            np.testing.assert_array_equal(ours[f"live/{name}"], scene.weights[name], err_msg=name)
    np.testing.assert_array_equal(ours["prototypes"], scene.prototypes[scene.seen])


def test_the_encoder_recomputed_at_each_step_gives_the_same_step(comparison):
    """The released mode, at a rate of stochastic depth next to 0, equals the constant encoder."""
    constant = comparison.results("step", "ours", "float64")
    recomputed = stages_ours.step(comparison.scenes[0], "float64", recompute=True)
    for name, value in constant.items():
        if name.split("/")[-1] not in NO_GRADIENT:
            assert relative_error(recomputed[name], value) < DOUBLE, name

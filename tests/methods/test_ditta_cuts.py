"""DiTTA's labels up to a cut, the frozen student's from there on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ditta_jax.algorithm.scene_cuts import class_shares, distance
from ditta_jax.methods import ditta, ditta_cuts, frozen, registry
from tests.methods.tiny import FRAMES, run


@pytest.fixture
def network(model):
    """As if adapted: another classifier."""
    random = np.random.default_rng(3)
    params = jax.tree.map(jnp.copy, model.network.params)
    kernel = params["decoder"]["classifier"]["kernel"]
    params["decoder"]["classifier"]["kernel"] = jnp.asarray(random.normal(size=kernel.shape))
    return model.network._replace(params=params)


def test_from_the_cut_on_labels_are_the_frozen_students(model, warm_up, network):
    _, plain = run(frozen.METHOD, model, warm_up, (), online=False)
    state = ditta.first_state(model, network, warm_up)
    _, adapted = run(ditta.METHOD, model, warm_up, state, online=False)
    assert not np.array_equal(plain[0], adapted[0]) and not np.array_equal(plain[-1], adapted[-1])
    shares = [class_shares(label, model.num_classes) for label in plain]
    steps = [float(distance(*pair)) for pair in zip(shares[:-1], shares[1:], strict=True)]
    assert len(set(steps)) == FRAMES - 1
    first = steps.index(max(steps)) + 1  # the only one above the threshold
    elsewhere = jnp.zeros_like(shares[0])  # no class that the first frame has
    cases = ((1.0, shares[0], FRAMES), (sorted(steps)[-2], shares[0], first), (0.4, elsewhere, 0))
    for threshold, before, cut in cases:
        method = registry.named("ditta_cuts", distance=threshold)
        start = ditta_cuts.State(state, before, jnp.asarray(False))
        after, labels = run(method, model, warm_up, start, online=False)
        np.testing.assert_array_equal(labels[:cut], adapted[:cut])
        np.testing.assert_array_equal(labels[cut:], plain[cut:])
        assert bool(after.cut) == (cut < FRAMES)


@pytest.mark.parametrize("scored", [False, True])
def test_it_begins_with_the_frame_before_the_first_scored_one(model, warm_up, network, scored):
    own = warm_up._replace(scored=scored)
    prepared = ditta_cuts.METHOD.prepared(model, own, [None], (network, []))
    expected = class_shares(jnp.asarray(own.labels[0 if scored else -1]), model.num_classes)
    np.testing.assert_array_equal(prepared.state.shares, expected)
    assert not prepared.state.cut

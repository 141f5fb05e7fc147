"""The supervised student is DiTTA's inference, by another student's weights, encoder included."""

import jax
import numpy as np
import pytest

from ditta_jax.algorithm import inference
from ditta_jax.algorithm.model import take_apart
from ditta_jax.methods import ditta, supervised
from ditta_jax.students.parts import split_student
from ditta_jax.students.student import new_student
from tests.methods import tiny
from tests.methods.tiny import FREEZE, run


@pytest.fixture(scope="module")
def other():
    """Another student: trained, for what these tests care."""
    return new_student(tiny.CONFIG, seed=5)


@pytest.mark.parametrize("scored", [False, True])
def test_its_labels_are_those_of_dittas_inference(model, other, warm_up, scored):
    own = take_apart(other, "float64")
    trained = split_student(other, "all")[0]
    trained = jax.tree.map(lambda x: x.astype("float64"), trained)
    warm_up = warm_up._replace(scored=scored)
    start = supervised.METHOD.prepare(model, warm_up._replace(trained=trained), FREEZE)
    assert not start.losses and start.network is None and start.kept_frozen is None
    _, ours = run(supervised.METHOD, model, warm_up, start.state, online=False)

    stacked = np.stack(warm_up.images)
    encoded = inference.encode(own.graph, own.encoder, own.network, stacked)
    features = [jax.tree.map(lambda x, t=t: x[t], encoded) for t in range(len(stacked))]
    theirs = warm_up._replace(features=features, last=features[-1])
    begun = ditta.first_state(own, own.network, theirs)
    _, expected = run(ditta.METHOD, own, theirs, begun, online=False)
    np.testing.assert_array_equal(ours, expected)

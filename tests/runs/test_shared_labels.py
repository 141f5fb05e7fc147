"""Stage A that several runs share: by all that it follows from, within a bound on memory."""

import numpy as np

from ditta_jax.methods.protocol import WarmUp
from ditta_jax.runs.shared_labels import SharedLabels


def warm_up(name):
    labels, reliability = np.zeros((2, 3, 4), np.uint8), np.ones((2, 3, 4), np.float32)
    return WarmUp(name, [np.ones((3, 4, 5))] * 2, None, labels, reliability, (3, 4), None)


def test_what_follows_from_the_same_is_taken():
    shared = SharedLabels(1e6)
    kept = shared.keep({"video": ["v", 2]}, warm_up("v"))
    found = shared.take({"video": ["v", 2]})
    assert found is kept and shared.taken == 1
    np.testing.assert_array_equal(found.features[0], warm_up("v").features[0])
    assert shared.take({"video": ["v", 3]}) is None and shared.taken == 1


def test_what_does_not_fit_is_not_kept():
    one = sum(x.nbytes for x in (*warm_up("v").features, warm_up("v").labels))
    one += warm_up("v").reliability.nbytes
    shared = SharedLabels(1.5 * one)
    shared.keep({"video": "v"}, warm_up("v"))
    assert shared.keep({"video": "w"}, warm_up("w")).name == "w"
    assert shared.take({"video": "w"}) is None and shared.take({"video": "v"})

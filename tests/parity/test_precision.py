"""Single precision: our error against double precision is no larger than the twin's own.

Errors are root mean squares over several scenes, with no factor allowed.
"""

import pytest

from tests.parity.golden import Golden
from tests.parity.measure import Comparison
from tests.parity.scene import Variation, fresh_scene, golden_scene

SEEDS = 4


@pytest.fixture(scope="module")
def trained(golden) -> Comparison:
    """The golden student and variations of its weights, on several clips."""
    reference = Golden(golden)
    variations = [Variation(seed=i, frame=(1, 2, 4, 5)[i % 4]) for i in range(SEEDS)]
    return Comparison([golden_scene(reference, v) for v in variations])


@pytest.fixture(scope="module")
def parallel() -> Comparison:
    """Fresh students of 256 channels: their projected features are nearly parallel."""
    return Comparison([fresh_scene(seed) for seed in range(SEEDS)])


@pytest.mark.parametrize("features", ["trained", "parallel"])
@pytest.mark.parametrize("stage", ["forward", "step"])
def test_single_precision_error_is_no_larger_than_the_twins(request, features, stage):
    comparison: Comparison = request.getfixturevalue(features)
    errors = comparison.single_precision_errors(stage)
    worse = {name: pair for name, pair in errors.items() if pair[0] > pair[1]}
    assert not worse, f"(ours, the twin's): {worse}"

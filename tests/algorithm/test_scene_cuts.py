"""Class shares and their distance against counting."""

import jax.numpy as jnp
import numpy as np
import pytest

from ditta_jax.algorithm import scene_cuts


def test_shares_are_counts():
    label = np.random.default_rng(0).integers(0, 4, (7, 9)).astype(np.uint8)
    expected = np.bincount(label.ravel(), minlength=5) / label.size
    found = scene_cuts.class_shares(jnp.asarray(label), 5)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-7)


def test_distance_is_the_share_of_pixels_that_must_change():
    half, quarter, other = (jnp.array(x) for x in ([0.5, 0.5, 0], [0.25, 0.75, 0], [0, 0, 1.0]))
    assert scene_cuts.distance(half, half) == 0
    assert scene_cuts.distance(half, quarter) == pytest.approx(0.25)
    assert scene_cuts.distance(half, other) == pytest.approx(1.0)

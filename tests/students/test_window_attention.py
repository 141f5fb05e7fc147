import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ditta_jax.students.window_attention import window_attention
from tests.students.dense_attention import CASES, dense_attention


@pytest.mark.parametrize(("h", "w", "radius", "tile"), CASES)
def test_value_and_gradients_equal_dense_masked_attention(h, w, radius, tile):
    random = np.random.default_rng(h * w)
    with jax.enable_x64(True):
        arrays = [jnp.asarray(random.normal(size=(h, w, c))) for c in (4, 4, 3)]
        probe = jnp.asarray(random.normal(size=(h, w, 3)))

        @jax.jit
        def both(arrays):
            def ours(arrays):
                return (window_attention(*arrays, radius, tile) * probe).sum()

            def slow(arrays):
                return (dense_attention(*arrays, radius) * probe).sum()

            out = window_attention(*arrays, radius, tile), dense_attention(*arrays, radius)
            return out, jax.grad(ours)(arrays), jax.grad(slow)(arrays)

        (fast, slow), *gradients = both(arrays)
        np.testing.assert_allclose(fast, slow, rtol=0, atol=1e-13)
        for ours, theirs in zip(*gradients, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-13)


def test_a_radius_of_zero_returns_the_value_of_the_place_itself():
    q, k, v = (jnp.asarray(np.random.default_rng(i).normal(size=(4, 5, 2))) for i in range(3))
    np.testing.assert_allclose(window_attention(q, k, v, 0, 3), v, rtol=0, atol=1e-6)


def test_large_scores_stay_finite():
    q = jnp.full((3, 3, 2), 1e4)
    out = window_attention(q, q, jnp.ones((3, 3, 1)), 1, 8)
    np.testing.assert_allclose(out, 1.0, rtol=1e-6)

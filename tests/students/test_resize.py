import jax.numpy as jnp
import numpy as np
import pytest

from ditta_jax.students.resize import bilinear, sum_of_upsampled
from ditta_jax.students.resize_matrices import chain, interpolation_matrix

SIZES = [(1, 5), (5, 1), (4, 4), (3, 12), (12, 5), (7, 10), (10, 31)]


def slow_resize(row, n_out):
    """Half-pixel centres, clamped, sample by sample."""
    n_in, out = len(row), []
    for i in range(n_out):
        x = max((i + 0.5) * n_in / n_out - 0.5, 0.0)
        low = min(int(np.floor(x)), n_in - 1)
        high = min(low + 1, n_in - 1)
        out.append(row[low] * (1 - (x - low)) + row[high] * (x - low))
    return np.array(out)


@pytest.mark.parametrize(("n_in", "n_out"), SIZES)
def test_matrix_equals_a_loop_over_samples(n_in, n_out):
    row = np.random.default_rng(n_in).normal(size=n_in)
    matrix = interpolation_matrix(n_in, n_out)
    np.testing.assert_allclose(matrix @ row, slow_resize(row, n_out), rtol=0, atol=1e-14)
    np.testing.assert_allclose(matrix.sum(1), 1.0, rtol=0, atol=1e-15)
    assert (matrix >= 0).all()


def test_resizing_to_the_same_size_changes_nothing():
    np.testing.assert_array_equal(interpolation_matrix(6, 6), np.eye(6))
    assert chain(6, 6) is chain(6, 6)


def test_a_chain_resizes_step_by_step():
    row = np.random.default_rng(0).normal(size=5)
    step_by_step = slow_resize(slow_resize(slow_resize(row, 9), 9), 14)
    np.testing.assert_allclose(chain(5, 9, 9, 14) @ row, step_by_step, rtol=0, atol=1e-14)
    assert np.abs(chain(5, 9, 14) - chain(5, 14)).max() > 0.05  # two steps are not one


@pytest.mark.parametrize("size", [(3, 4), (7, 4), (3, 9), (8, 2)])
def test_bilinear_resizes_both_axes_of_every_image(size):
    x = np.random.default_rng(1).normal(size=(2, 3, 4, 2)).astype(np.float32)
    out = bilinear(jnp.asarray(x), size)
    assert out.shape == (2, *size, 2) and out.dtype == jnp.float32
    rows = np.apply_along_axis(slow_resize, 1, x.astype(np.float64), size[0])
    both = np.apply_along_axis(slow_resize, 2, rows, size[1])
    np.testing.assert_allclose(out, both, rtol=0, atol=1e-6)


def test_a_sum_of_upsampled_maps_is_the_sum_of_each():
    random = np.random.default_rng(0)
    maps = [jnp.asarray(random.normal(size=(2, h, w, 3)), jnp.float32) for h, w in ((3, 4), (6, 5))]
    expected = sum(np.asarray(bilinear(x, (12, 17)), np.float64) for x in maps)
    np.testing.assert_allclose(sum_of_upsampled(maps, (12, 17)), expected, rtol=0, atol=2e-6)

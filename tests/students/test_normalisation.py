import jax.numpy as jnp
import numpy as np
import pytest

from ditta_jax.students.normalisation import EPS, BatchNorm, clip_statistics


def norm_of(channels, seed=0):
    norm, random = BatchNorm(channels), np.random.default_rng(seed)
    for part in (norm.scale, norm.bias, norm.mean):
        part[...] = jnp.asarray(random.normal(size=channels), jnp.float32)
    norm.var[...] = jnp.asarray(random.uniform(0.5, 2.0, channels), jnp.float32)
    return norm


def expected_norm(norm, x, mean, var):
    scale, bias = (np.asarray(p[...], np.float64) for p in (norm.scale, norm.bias))
    return (x - mean) / np.sqrt(var + EPS) * scale + bias


def test_evaluation_is_by_running_statistics_and_changes_none():
    norm, x = norm_of(4), np.random.default_rng(1).normal(3.0, 2.0, (2, 3, 5, 4))
    mean, var = (np.asarray(p[...], np.float64) for p in (norm.mean, norm.var))
    found = norm(jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(found, expected_norm(norm, x, mean, var), rtol=0, atol=1e-5)
    np.testing.assert_array_equal(norm.mean[...], mean)
    np.testing.assert_array_equal(norm.var[...], var)


@pytest.mark.parametrize("weight", [(1.0, 1.0), (0.0, 1.0)])
def test_training_is_by_the_weighted_frames_and_remembers_them(weight):
    norm, x = norm_of(4), np.random.default_rng(1).normal(3.0, 2.0, (2, 3, 5, 4))
    before = norm.mean[...], norm.var[...]
    taken = x[np.array(weight) > 0]
    found = norm(jnp.asarray(x, jnp.float32), jnp.array(weight))
    expected = expected_norm(norm, x, taken.mean((0, 1, 2)), taken.var((0, 1, 2)))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    mean, var = taken.mean((0, 1, 2)), taken.var((0, 1, 2), ddof=1)
    np.testing.assert_allclose(norm.mean[...], 0.9 * before[0] + 0.1 * mean, rtol=1e-6)
    np.testing.assert_allclose(norm.var[...], 0.9 * before[1] + 0.1 * var, rtol=1e-5)


def test_half_precision_maps_are_normalised_in_single_precision():
    """The mean is far from 0: subtracted in half precision, nothing would be left."""
    x = jnp.asarray(np.random.default_rng(0).normal(300.0, 4.0, (1, 16, 16, 1)), jnp.bfloat16)
    exact = np.asarray(x, np.float64)
    found = BatchNorm(1)(x, jnp.ones(1))
    assert found.dtype == jnp.bfloat16
    expected = (exact - exact.mean()) / np.sqrt(exact.var() + EPS)
    np.testing.assert_allclose(np.asarray(found, np.float64), expected, rtol=2**-8, atol=1e-6)


def test_statistics_over_both_frames_and_over_one():
    x = np.random.default_rng(0).normal(3.0, 2.0, (2, 4, 5, 6))
    batch, remembered = clip_statistics(jnp.asarray(x, jnp.float32), jnp.ones(2))
    np.testing.assert_allclose(batch.mean, x.mean((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(batch.var, x.var((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(remembered.var, x.var((0, 1, 2), ddof=1), rtol=1e-5)
    weight = jnp.array([0.0, 1.0])
    alone = clip_statistics(jnp.asarray(x, jnp.float32), weight)
    other = clip_statistics(jnp.asarray(x * [[[[1e3]]], [[[1]]]], jnp.float32), weight)
    for found, changed in zip(alone, other, strict=True):
        np.testing.assert_array_equal(found.var, changed.var)  # the absent frame has no say
        np.testing.assert_allclose(found.mean, x[1].mean((0, 1)), rtol=1e-6)
    np.testing.assert_allclose(alone[0].var, x[1].var((0, 1)), rtol=1e-5)
    np.testing.assert_allclose(alone[1].var, x[1].var((0, 1), ddof=1), rtol=1e-5)


def test_statistics_of_half_precision_maps_are_single_precision():
    x = jnp.asarray(np.random.default_rng(0).normal(100.0, 1.0, (1, 64, 64, 1)), jnp.bfloat16)
    batch, _ = clip_statistics(x, jnp.ones(1))
    assert batch.var.dtype == jnp.float32
    np.testing.assert_allclose(batch.mean, np.asarray(x, np.float64).mean(), rtol=1e-6)

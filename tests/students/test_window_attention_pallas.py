"""The kernels, interpreted, against what they must equal; and that the compilers take them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from ditta_jax.students.window_attention import window_attention
from ditta_jax.students.window_attention_pallas import window_attention_pallas
from tests.students.dense_attention import CASES, dense_attention

TRITON = "__gpu$xla.gpu.triton"


def maps(h, w, channels=(4, 4, 3, 3), dtype="float32", lead=()):
    """Queries, keys, values and a probe that makes a number of the output."""
    random = np.random.default_rng(h * w)
    return [jnp.asarray(random.normal(size=(*lead, h, w, c)), dtype) for c in channels]


def value_and_gradients(attention, *static):
    """Output and gradients of all three maps, as one program."""

    @jax.jit
    def both(q, k, v, probe):
        def number(*arrays):
            out = attention(*arrays, *static)
            return (out * probe).sum(), out

        gradients, out = jax.grad(number, argnums=(0, 1, 2), has_aux=True)(q, k, v)
        return out, *gradients

    return both


def assert_close(found, expected, atol):
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
        ours, theirs = (np.asarray(x, np.float64) for x in (ours, theirs))
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=atol)


@pytest.mark.parametrize(("h", "w", "radius", "tile"), CASES)
def test_value_and_gradients_equal_dense_masked_attention(h, w, radius, tile):
    with jax.enable_x64(True):
        arrays = maps(h, w, dtype="float64")
        found = value_and_gradients(window_attention_pallas, radius, tile)(*arrays)
        expected = value_and_gradients(dense_attention, radius)(*arrays)
        assert_close(found, expected, 1e-13)


@pytest.mark.parametrize(("dtype", "atol"), [("float32", 1e-5), ("bfloat16", 0.1)])
def test_value_and_gradients_equal_those_of_tiles(dtype, atol):
    arrays = maps(7, 9, dtype=dtype)
    found = value_and_gradients(window_attention_pallas, 2, 4)(*arrays)
    expected = value_and_gradients(window_attention, 2, 4)(*arrays)
    assert all(x.dtype == dtype for x in found)
    assert_close(found, expected, atol)


def test_bfloat16_is_summed_in_float32():
    """Rounded are the inputs, the weights and the result, not what is added up between."""
    with jax.enable_x64(True):
        arrays = maps(7, 9, dtype="bfloat16")
        found = value_and_gradients(window_attention_pallas, 5, 8)(*arrays)
        exact = value_and_gradients(dense_attention, 5)(*(x.astype("float64") for x in arrays))
        for ours, theirs in zip(found, exact, strict=True):
            assert jnp.abs(ours.astype("float64") - theirs).max() < 2**-7 * jnp.abs(theirs).max()


def test_features_in_bfloat16_fetch_logits_in_float32():
    q, k, v, _ = maps(4, 5)
    q, k = q.astype("bfloat16"), k.astype("bfloat16")
    out = window_attention_pallas(q, k, v, 1, 4)
    expected = dense_attention(q.astype("float32"), k.astype("float32"), v, 1)
    assert out.dtype == v.dtype
    np.testing.assert_allclose(out, expected, rtol=0, atol=1e-5)


def test_calls_that_are_not_compiled_and_forced_interpretation_give_the_same():
    q, k, v, _ = maps(5, 4)
    expected = jax.jit(window_attention_pallas, static_argnums=(3, 4, 5))(q, k, v, 1, 4, False)
    for interpret in (False, True):
        out = window_attention_pallas(q, k, v, 1, 4, interpret)
        np.testing.assert_allclose(out, expected, rtol=0, atol=1e-6)


def test_many_maps_at_once_equal_single_ones():
    arrays = maps(5, 4, lead=(3,))
    one = value_and_gradients(window_attention_pallas, 1, 4)
    found = jax.jit(jax.vmap(one))(*arrays)
    for i in range(3):
        assert_close([x[i] for x in found], one(*(x[i] for x in arrays)), 1e-5)


def test_large_scores_and_their_gradients_stay_finite_and_right():
    """Scores of 2e8: a weight found by the logarithm of the sum would be 1 instead of 1/9."""
    q, v = jnp.full((3, 3, 2), 1e4), jnp.arange(9.0).reshape(3, 3, 1)
    out, dq, dk, dv = value_and_gradients(window_attention_pallas, 5, 8)(q, q, v, jnp.ones_like(v))
    np.testing.assert_allclose(out, 4.0, rtol=1e-6)
    np.testing.assert_allclose(dv, 1.0, rtol=1e-6)
    assert np.isfinite(dq).all() and np.isfinite(dk).all()


@pytest.mark.parametrize(
    ("precision", "features", "logits"),
    [("default", "float32", "float32"), ("high", "float32", "float32")]
    + [("highest", "float32", "float32"), ("highest", "bfloat16", "bfloat16")]
    + [("highest", "bfloat16", "float32")],
)
@pytest.mark.parametrize(("platform", "call"), [("tpu", "tpu_custom_call"), ("cuda", TRITON)])
def test_both_kernels_are_lowered_for_accelerators(platform, call, precision, features, logits):
    """To Mosaic's and Triton's intermediate code; machine code needs the device's compiler."""
    shapes = [jax.ShapeDtypeStruct((16, 24, 256), features) for _ in range(2)]
    shapes += [jax.ShapeDtypeStruct((16, 24, 124), logits) for _ in range(2)]
    known = [export.DisabledSafetyCheck.custom_call(TRITON)]
    program = value_and_gradients(window_attention_pallas, 5)
    with jax.default_matmul_precision(precision):
        exported = export.export(program, platforms=[platform], disabled_checks=known)(*shapes)
    assert exported.mlir_module().count(f"@{call}") == 2

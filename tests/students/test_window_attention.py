import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from ditta_jax.students import fusion
from ditta_jax.students.platform import compiling_for
from ditta_jax.students.segformer.config import SegFormerConfig
from ditta_jax.students.window_attention import window_attention
from ditta_jax.students.window_attention_blocks import block_attention
from tests.students.dense_attention import CASES, dense_attention

PROGRAMS = pytest.mark.parametrize("attention", [window_attention, block_attention])


@PROGRAMS
@pytest.mark.parametrize(("h", "w", "radius", "tile"), CASES)
def test_value_and_gradients_equal_dense_masked_attention(attention, h, w, radius, tile):
    random = np.random.default_rng(h * w)
    with jax.enable_x64(True):
        arrays = [jnp.asarray(random.normal(size=(h, w, c))) for c in (4, 4, 3)]
        probe = jnp.asarray(random.normal(size=(h, w, 3)))

        @jax.jit
        def both(arrays):
            def ours(arrays):
                return (attention(*arrays, radius, tile) * probe).sum()

            def slow(arrays):
                return (dense_attention(*arrays, radius) * probe).sum()

            out = attention(*arrays, radius, tile), dense_attention(*arrays, radius)
            return out, jax.grad(ours)(arrays), jax.grad(slow)(arrays)

        (fast, slow), *gradients = both(arrays)
        np.testing.assert_allclose(fast, slow, rtol=0, atol=1e-13)
        for ours, theirs in zip(*gradients, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-13)


@PROGRAMS
def test_a_radius_of_zero_returns_the_value_of_the_place_itself(attention):
    q, k, v = (jnp.asarray(np.random.default_rng(i).normal(size=(4, 5, 2))) for i in range(3))
    np.testing.assert_allclose(attention(q, k, v, 0, 3), v, rtol=0, atol=1e-6)


@PROGRAMS
def test_large_scores_stay_finite(attention):
    q = jnp.full((3, 3, 2), 1e4)
    out = attention(q, q, jnp.ones((3, 3, 1)), 1, 8)
    np.testing.assert_allclose(out, 1.0, rtol=1e-6)


@PROGRAMS
def test_no_product_rounds_float32_operands_by_default(attention):
    maps = [jnp.ones((9, 11, c)) for c in (4, 4, 3)]
    gradient = jax.grad(lambda q, k, v: attention(q, k, v, 2).sum(), argnums=(0, 1, 2))
    text = str(jax.make_jaxpr(gradient)(*maps))
    stated = text.count("precision=(Precision.HIGHEST, Precision.HIGHEST)")
    assert stated == text.count("dot_general[") >= 6


@pytest.mark.parametrize(("platform", "turns"), [("cpu", 6), ("tpu", 2), ("gpu", 2)])
def test_only_a_cpu_goes_through_rows_of_tiles_one_by_one(platform, turns):
    module = nnx.eval_shape(
        lambda: fusion.TemporalFusion(SegFormerConfig(3, embed_dim=4), nnx.Rngs(0))
    )
    graph, weights = nnx.split(module)
    maps = [jax.ShapeDtypeStruct((41, 11, c), jnp.float32) for c in (4, 4, 3)]
    with compiling_for(platform):
        jaxpr = jax.make_jaxpr(lambda w, *x: nnx.merge(graph, w)(*x))(weights, *maps)
    scan = re.search(r"scan\[.*?length=(\d+)", str(jaxpr), re.DOTALL)
    assert scan is not None and int(scan[1]) == turns

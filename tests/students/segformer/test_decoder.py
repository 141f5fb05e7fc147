import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from ditta_jax.students.resize import bilinear
from ditta_jax.students.segformer.config import SegFormerConfig
from ditta_jax.students.segformer.decoder import (
    NORM_EPS,
    Decoder,
    Mlp,
    NormStatistics,
    channel_dropout,
    clip_statistics,
)

CONFIG = SegFormerConfig(5, (3, 4, 5, 6), embed_dim=7)


@pytest.fixture(scope="module")
def decoder():
    decoder = Decoder(CONFIG, nnx.Rngs(0))
    random = np.random.default_rng(0)
    for part in (decoder.norm.scale, decoder.norm.bias, decoder.linear_2.bias):
        part[...] = jnp.asarray(random.normal(size=part[...].shape), jnp.float32)
    return decoder


def levels(seed=0, b=2):
    random = np.random.default_rng(seed)
    sizes = [(6, 8), (3, 4), (2, 2), (1, 1)]
    return tuple(
        jnp.asarray(random.normal(size=(b, *s, c)), jnp.float32)
        for s, c in zip(sizes, CONFIG.channels, strict=True)
    )


def test_fuse_levels_equals_upsampling_concatenating_and_convolving(decoder):
    @jax.jit
    def directly(features):
        upsampled = [
            bilinear(getattr(decoder, f"linear_{level}")(features[level - 1]), (6, 8))
            for level in (4, 3, 2, 1)
        ]
        return decoder.fuse(jnp.concatenate(upsampled, -1))

    ours = jax.jit(decoder.fuse_levels)(levels())
    np.testing.assert_allclose(ours, directly(levels()), rtol=0, atol=2e-6)


def test_embedding_is_a_batch_norm_and_a_relu(decoder):
    x = np.asarray(decoder.fuse_levels(levels()), np.float64)
    mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
    batch, _ = clip_statistics(jnp.asarray(x, jnp.float32), jnp.ones(2))
    scale, bias = (np.asarray(p[...]) for p in (decoder.norm.scale, decoder.norm.bias))
    expected = np.maximum((x - mean) / np.sqrt(var + NORM_EPS) * scale + bias, 0)
    ours = decoder.embed(jnp.asarray(x, jnp.float32), batch)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=2e-5)
    running = NormStatistics(decoder.norm.mean[...], decoder.norm.var[...])
    np.testing.assert_array_equal(
        decoder.embed(jnp.asarray(x)), decoder.embed(jnp.asarray(x), running)
    )


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


def test_channel_dropout_has_its_rate_and_is_drawn_per_frame_and_channel():
    keep = np.asarray(channel_dropout(jax.random.key(0), 200, 300, 0.1))
    assert set(np.unique(keep)) == {0.0, np.float32(1 / 0.9)}
    dropped = keep == 0
    assert abs(dropped.mean() - 0.1) < 0.005
    assert abs(dropped.mean(0) - 0.1).max() < 0.12  # every channel, and every frame, now and then
    assert abs(dropped.mean(1) - 0.1).max() < 0.1
    pairs = (dropped[::2] & dropped[1::2]).mean()
    assert abs(pairs - 0.01) < 0.003  # frames of a clip independently


def test_dropped_channels_do_not_reach_the_logits(decoder):
    f = np.random.default_rng(0).normal(size=(2, 3, 3, 7)).astype(np.float32)
    keep, changed = np.ones((2, 7), np.float32), f.copy()
    keep[1, 2], changed[1, ..., 2] = 0.0, 100.0
    classify = jax.jit(decoder.classify)
    np.testing.assert_array_equal(classify(f, keep), classify(changed, keep))
    np.testing.assert_array_equal(classify(f, keep)[0], classify(f, np.ones((2, 7)))[0])


def test_mlp_is_linear_layers_with_relu_between():
    mlp = Mlp((3, 4, 2), nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(0), (5, 3))
    first, second = mlp.layers
    expected = np.maximum(x @ first.kernel[...] + first.bias[...], 0) @ second.kernel[...]
    np.testing.assert_allclose(mlp(x), expected + second.bias[...], rtol=0, atol=1e-6)

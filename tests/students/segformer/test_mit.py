import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from ditta_jax.students.segformer.config import DEPTHS, SegFormerConfig
from ditta_jax.students.segformer.mit import EfficientAttention, depthwise_3x3, drop_path
from ditta_jax.students.student import abstract_student, new_student

TINY = SegFormerConfig(3, (4, 4, 8, 8), (1, 1, 1, 1), (1, 1, 2, 2), (4, 2, 2, 1), 2, embed_dim=4)


def test_depthwise_equals_the_grouped_convolution():
    random = np.random.default_rng(0)
    x, kernel, bias = (random.normal(size=s) for s in ((2, 5, 6, 4), (3, 3, 1, 4), (4,)))
    with jax.enable_x64(True):
        grouped = jax.lax.conv_general_dilated(
            x,
            kernel,
            (1, 1),
            ((1, 1), (1, 1)),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=4,
        )
        ours = depthwise_3x3(jnp.asarray(x), jnp.asarray(kernel), jnp.asarray(bias))
        np.testing.assert_allclose(ours, grouped + bias[None, None, None], rtol=0, atol=1e-14)


def test_attention_equals_a_loop_over_heads_and_queries():
    attention = EfficientAttention(TINY, 2, nnx.Rngs(0))  # two heads, reduction 2
    x = jax.random.normal(jax.random.key(1), (2, 4, 6, 8))

    @jax.jit
    def run(x):
        source = attention.norm(attention.sr(x)).reshape(2, -1, 8)
        return attention.q(x).reshape(2, 24, 8), attention.kv(source), attention(x)

    q, kv, out = (np.asarray(a, np.float64) for a in run(x))
    k, v = np.split(kv, 2, axis=-1)
    mixed = np.zeros_like(q)
    for b in range(2):
        for head in (slice(0, 4), slice(4, 8)):
            for n in range(24):
                score = k[b][:, head] @ q[b, n, head] / np.sqrt(4)
                weight = np.exp(score - score.max())
                mixed[b, n, head] = weight / weight.sum() @ v[b][:, head]
    kernel, bias = (np.asarray(p[...]) for p in (attention.proj.kernel, attention.proj.bias))
    expected = mixed.reshape(x.shape) @ kernel + bias
    np.testing.assert_allclose(out, expected, rtol=0, atol=1e-6)


def test_features_have_strides_4_8_16_32():
    student = new_student(TINY)
    features = jax.eval_shape(student.encoder, jax.ShapeDtypeStruct((1, 64, 96, 3), "float32"))
    assert [f.shape for f in features] == [
        (1, 64 // s, 96 // s, c) for s, c in zip((4, 8, 16, 32), TINY.channels, strict=True)
    ]


def test_drop_path_drops_whole_frames_at_its_rate_and_keeps_the_mean():
    x = jnp.ones((4000, 2, 1, 2))
    out = np.asarray(drop_path(x, jax.random.key(0), 0.3))
    assert set(np.unique(out)) == {0.0, np.float32(1 / 0.7)}
    frames = out.reshape(4000, -1)
    assert (frames == frames[:, :1]).all()  # a frame is dropped as a whole
    assert abs((frames[:, 0] == 0).mean() - 0.3) < 0.03  # four standard deviations
    assert drop_path(x, None, 0.3) is x and drop_path(x, jax.random.key(0), 0.0) is x


def test_stochastic_depth_follows_the_key():
    student = new_student(TINY)
    frames = jax.random.normal(jax.random.key(0), (2, 32, 32, 3))
    encode = jax.jit(lambda key, rate: student.encoder(frames, key, rate)[3], static_argnums=1)
    plain = jax.jit(lambda: student.encoder(frames)[3])()
    same, again, other = (encode(jax.random.key(k), 0.9) for k in (1, 1, 2))
    np.testing.assert_array_equal(same, again)
    assert np.abs(same - plain).max() > 1e-3
    assert any(np.abs(same[b] - other[b]).max() > 1e-3 for b in range(2))


def encoder_parameters(channels, depths, reductions, ratio=4):
    """Weights of a Mix Transformer, layer by layer."""
    total, inputs, kernel = 0, 3, 7
    for c, depth, r in zip(channels, depths, reductions, strict=True):
        total += kernel * kernel * inputs * c + c + 2 * c  # patch embedding and its norm
        attention = (c * c + c) + (2 * c * c + 2 * c) + (c * c + c)  # q, kv, projection
        if r > 1:
            attention += r * r * c * c + c + 2 * c
        hidden = ratio * c
        mlp = (c * hidden + hidden) + (9 * hidden + hidden) + (hidden * c + c)
        total += depth * (attention + mlp + 4 * c) + 2 * c  # two norms a block, one a stage
        inputs, kernel = c, 3
    return total


def decoder_parameters(channels, classes, D=256):
    """Weights of the decoder with its projection head, and of the fusion."""
    decoder = sum(c * D + D for c in channels) + 4 * D * D + 2 * D + D * classes + classes
    return decoder + 3 * (D * D + D), 4 * (D * D + D)


# Millions of the encoder, as published in Xie et al. 2021, table 6 (B0 3.4 with its rounding up).
PUBLISHED = {"B0": 3.3, "B1": 13.2, "B2": 24.2, "B3": 44.1, "B4": 60.8, "B5": 81.4}


@pytest.mark.parametrize("size", DEPTHS)
def test_published_sizes_have_the_published_numbers_of_parameters(size):
    config = SegFormerConfig.published(size, 124)
    student = abstract_student(config)

    def count(part):
        return sum(x.size for x in jax.tree.leaves(nnx.state(part, nnx.Param)))

    encoder = encoder_parameters(config.channels, config.depths, config.reductions)
    assert count(student.encoder) == encoder
    assert encoder / 1e6 == pytest.approx(PUBLISHED[size], abs=0.06)
    decoder, fusion = decoder_parameters(config.channels, 124)
    assert (count(student.decoder), count(student.fusion)) == (decoder, fusion)
    if size == "B0":
        assert encoder == 3_319_392  # counted by hand from SPEC's table

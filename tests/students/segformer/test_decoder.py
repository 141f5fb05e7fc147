import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from ditta_jax.students.resize import bilinear
from ditta_jax.students.segformer.config import SegFormerConfig
from ditta_jax.students.segformer.decoder import Decoder

CONFIG = SegFormerConfig(5, (3, 4, 5, 6), heads=(1, 1, 1, 1), embed_dim=7)


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


@pytest.mark.parametrize("weight", [None, (1.0, 1.0), (0.0, 1.0)])
def test_embedding_is_a_batch_norm_and_a_relu(decoder, weight):
    weight = None if weight is None else jnp.array(weight)
    normal = nnx.clone(decoder.norm)(decoder.fuse_levels(levels()), weight)
    ours = nnx.clone(decoder).embed(levels(), weight)
    np.testing.assert_allclose(ours, np.maximum(normal, 0), rtol=0, atol=2e-6)


def test_dropped_channels_do_not_reach_the_logits(decoder):
    f = np.random.default_rng(0).normal(size=(2, 3, 3, 7)).astype(np.float32)
    keep, changed = np.ones((2, 7), np.float32), f.copy()
    keep[1, 2], changed[1, ..., 2] = 0.0, 100.0
    classify = jax.jit(decoder.classify)
    np.testing.assert_array_equal(classify(f, keep), classify(changed, keep))
    np.testing.assert_array_equal(classify(f, keep)[0], classify(f, np.ones((2, 7)))[0])

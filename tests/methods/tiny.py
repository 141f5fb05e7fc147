"""A tiny student and a short warm-up in double precision, and what every method's tests ask."""

import jax
import jax.numpy as jnp
import numpy as np

from ditta_jax.algorithm.settings import Settings
from ditta_jax.methods import stream
from ditta_jax.methods.protocol import Fixed, Frame
from ditta_jax.students.segformer.config import SegFormerConfig

CONFIG = SegFormerConfig(
    3, (3, 4, 4, 5), (1, 1, 1, 1), (1, 1, 1, 1), (8, 4, 2, 1), 1, embed_dim=6, radius=1
)
INPUT, SIZE, FRAMES = (32, 64), (21, 37), 3
FREEZE = Settings(compute="float64")
ONLINE = Settings(compute="float64", protocol="online")


def features_of(random):
    shapes = [
        (INPUT[0] // s, INPUT[1] // s, c)
        for s, c in zip((4, 8, 16, 32), CONFIG.channels, strict=True)
    ]
    return tuple(jnp.asarray(random.normal(size=shape)) for shape in shapes)


def run(method, model, warm_up, state, online, own=None):
    """The scan over the frames of the warm-up."""
    features = jax.tree.map(lambda *x: jnp.stack(x), *warm_up.features)
    frames = Frame(features, jnp.stack(warm_up.images), own)
    fixed = Fixed(SIZE, INPUT, 0.8, online)
    return stream.label_frames(method, model, jax.tree.map(jnp.copy, state), frames, fixed)


def changed(before, after):
    """Names of the leaves that differ."""
    leaves = zip(jax.tree.leaves_with_path(before), jax.tree.leaves(after), strict=True)
    return {jax.tree_util.keystr(key) for (key, x), y in leaves if not np.array_equal(x, y)}


def assert_close(ours, theirs, atol=1e-12):
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=atol)

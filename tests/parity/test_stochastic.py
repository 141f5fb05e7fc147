"""Dropout and stochastic depth: rate, scope and independence, against exact expectations.

Counts are compared with a binomial's mean at five standard deviations: with fixed seeds the tests
are deterministic, and a wrong rate, a shared mask or a missing rescaling is far outside.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from ditta_jax.models.config import StudentConfig
from ditta_jax.models.decoder import channel_dropout
from ditta_jax.models.mit import drop_path
from ditta_jax.models.student import Student, new_student

CONFIG = StudentConfig(3, channels=(4, 6, 10, 16), depths=(1, 2, 1, 1), embed_dim=8)


def assert_rate(dropped: np.ndarray, rate: float) -> None:
    """The share of dropped entries is `rate` to within five standard deviations."""
    n = dropped.size
    assert abs(dropped.mean() - rate) < 5 * np.sqrt(rate * (1 - rate) / n)


def assert_independent(a: np.ndarray, b: np.ndarray, rate: float) -> None:
    """Both are dropped together as often as independent draws would be."""
    joint = rate * rate
    assert abs((a & b).mean() - joint) < 5 * np.sqrt(joint * (1 - joint) / a.size)


def test_channel_dropout_drops_whole_channels_per_frame():
    rate = 0.1
    factors = np.asarray(channel_dropout(jax.random.key(0), 2, 20_000, rate))
    assert set(np.unique(factors)) == {0.0, np.float32(1 / (1 - rate))}
    assert_rate(factors == 0, rate)
    assert_independent(factors[0] == 0, factors[1] == 0, rate)
    other = np.asarray(channel_dropout(jax.random.key(1), 2, 20_000, rate))
    assert_independent(factors == 0, other == 0, rate)


def test_dropout_acts_on_the_classifier_only(student):
    f = jax.random.uniform(jax.random.key(2), (1, 3, 4, CONFIG.embed_dim))
    keep = channel_dropout(jax.random.key(3), 1, CONFIG.embed_dim, 0.5)
    assert 0 < (keep == 0).sum() < keep.size
    decoder = student.decoder
    dropped = decoder.classify(f, keep)
    expected = (f * keep[:, None, None]) @ decoder.classifier.kernel[...]
    np.testing.assert_allclose(dropped, expected + decoder.classifier.bias[...], rtol=1e-5)
    assert np.abs(dropped - decoder.classify(f)).max() > 1e-3


def test_stochastic_depth_drops_a_frames_whole_branch_and_rescales():
    rate, frames = 0.3, 20_000
    x = jnp.ones((frames, 2, 1, 3))
    out = np.asarray(drop_path(x, jax.random.key(0), rate))
    dropped = out[:, 0, 0, 0] == 0
    assert (out == out[:, :1, :1, :1]).all()
    np.testing.assert_allclose(out[~dropped], 1 / (1 - rate), rtol=1e-6)
    assert_rate(dropped, rate)
    assert drop_path(x, None, rate) is x
    assert drop_path(x, jax.random.key(0), 0.0) is x


@pytest.fixture(scope="module")
def student() -> Student:
    """A small fresh student."""
    return new_student(CONFIG)


def test_rates_rise_linearly_and_branches_are_independent(student, monkeypatch):
    """Two branches per block; block i of n drops with rate · i / (n − 1)."""
    drawn = []

    def record(x, key, rate):
        drawn.append((None if key is None else jax.random.key_data(key).tolist(), float(rate)))
        return x

    monkeypatch.setattr("ditta_jax.models.mit.drop_path", record)
    images = jnp.zeros((1, 32, 32, 3))
    student.encoder(images, jax.random.key(5), 0.1)
    rates = [rate for _, rate in drawn]
    np.testing.assert_allclose(rates, np.repeat(np.linspace(0, 0.1, 5), 2))
    assert len({tuple(key) for key, _ in drawn}) == 10
    drawn.clear()
    student.encoder(images)
    assert all(key is None for key, _ in drawn)


def test_encoder_drops_at_the_configured_rate(student):
    """With the last block dropped, its input goes straight to the closing norm."""
    rate, draws = 0.5, 400
    graph, state = nnx.split(student)
    image = jax.random.normal(jax.random.key(0), (1, 32, 32, 3))

    @jax.jit
    def last_level(key):
        return nnx.merge(graph, state).encoder(image, key, rate)[3].ravel()

    found = jax.vmap(last_level)(jax.random.split(jax.random.key(7), draws))
    outcomes, counts = np.unique(np.round(np.asarray(found), 4), axis=0, return_counts=True)
    # Blocks 2 to 5 drop with 1/8, 1/4, 3/8, 1/2, each in two branches; block 1 never does. All
    # branches survive together, and no outcome is more frequent:
    survive = np.prod((1 - np.linspace(0, rate, 5)) ** 2)
    whole = counts[
        np.argmax([np.allclose(o, _scaled(graph, state, image, rate), atol=1e-3) for o in outcomes])
    ]
    assert abs(whole / draws - survive) < 5 * np.sqrt(survive * (1 - survive) / draws)
    assert len(outcomes) > 50


def _scaled(graph, state, image, rate):
    """The last level where every branch survives, each rescaled by 1 / (1 − its rate)."""
    import ditta_jax.models.mit as mit

    original = mit.drop_path
    mit.drop_path = lambda x, key, r: x / (1 - r)
    try:
        out = nnx.merge(graph, state).encoder(image, jax.random.key(0), rate)
    finally:
        mit.drop_path = original
    return np.asarray(out[3]).ravel()

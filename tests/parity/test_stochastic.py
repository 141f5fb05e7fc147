"""Dropout and stochastic depth as the adaptation draws them: rate, scope, independence.

Counts are compared with a binomial's mean at five standard deviations: with fixed seeds the tests
are deterministic, and a wrong rate, a shared mask or a missing rescaling is far outside.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from ditta_jax.algorithm import adaptation, branches
from ditta_jax.algorithm.adaptation import AdaptationSettings, TaughtFrames
from ditta_jax.algorithm.optimiser import Hyperparameters
from ditta_jax.students.layers import channel_dropout
from ditta_jax.students.parts import split_student
from ditta_jax.students.segformer import mit
from ditta_jax.students.segformer.config import SegFormerConfig
from ditta_jax.students.student import Student, new_student

CONFIG = SegFormerConfig(3, channels=(4, 6, 10, 16), depths=(1, 2, 1, 1), embed_dim=64)
PASSES, RATE = 20, 0.3


@pytest.fixture(scope="module")
def student() -> Student:
    """A small fresh student."""
    return new_student(CONFIG)


def assert_rate(dropped: np.ndarray, rate: float) -> None:
    """The share of dropped entries is `rate` to within five standard deviations."""
    assert abs(dropped.mean() - rate) < 5 * np.sqrt(rate * (1 - rate) / dropped.size)


def assert_independent(a: np.ndarray, b: np.ndarray, rate: float) -> None:
    """Both are dropped together as often as independent draws would be."""
    assert_rate(a & b, rate * rate)


def run_adaptation(student: Student, dropout: float, stochastic_depth: float) -> None:
    """Two frames, `PASSES` passes; what is drawn is seen through patched functions."""
    network, graph, encoder = split_student(student)
    frames = jax.random.normal(jax.random.key(1), (2, 32, 32, 3))
    features = frames if stochastic_depth else jax.jit(lambda x: student.encoder(x))(frames)
    ids = jnp.zeros((2, 20, 20), jnp.uint8).at[:, :9].set(1)
    warm_up = TaughtFrames(features, ids, ids, jnp.ones(2, bool))
    state = adaptation.new_state(network, 2, jax.random.key(3))
    settings = AdaptationSettings(
        (32, 32), dropout=dropout, stochastic_depth=stochastic_depth, temperature=1.5
    )
    state, _ = adaptation.adapt(state, graph, encoder, warm_up, Hyperparameters(), settings, PASSES)
    jax.block_until_ready(state.live)
    jax.effects_barrier()


def test_dropout_of_both_networks(student, monkeypatch):
    masks: dict[int, list[np.ndarray]] = {1: [], 2: []}

    def record(key, frames, channels, rate):
        factors = channel_dropout(key, frames, channels, rate)
        jax.debug.callback(lambda m: masks[frames].append(np.asarray(m)), factors, ordered=True)
        return factors

    monkeypatch.setattr(branches, "channel_dropout", record)
    run_adaptation(student, RATE, 0.0)
    live, momentum = np.stack(masks[2]), np.stack(masks[1])
    assert live.shape == (2 * PASSES, 2, CONFIG.embed_dim)
    assert momentum.shape == (2 * PASSES, 1, CONFIG.embed_dim)
    for factors in (live, momentum):
        assert set(np.unique(factors)) == {0.0, np.float32(1 / (1 - RATE))}
        assert_rate(factors == 0, RATE)
        assert_independent(factors[1:] == 0, factors[:-1] == 0, RATE)  # from step to step
    assert_independent(live[:, 0] == 0, live[:, 1] == 0, RATE)  # between the clip's frames
    assert_independent(live[:, 1] == 0, momentum[:, 0] == 0, RATE)  # between the networks


def test_stochastic_depth_of_both_networks(student, monkeypatch):
    """Every branch of every encoder run of every step has its own key."""
    keys, original = [], mit.drop_path

    def record(x, key, rate):
        if key is not None:
            jax.debug.callback(lambda k: keys.append(tuple(k.tolist())), jax.random.key_data(key))
        return original(x, key, rate)

    monkeypatch.setattr(mit, "drop_path", record)
    run_adaptation(student, 0.0, RATE)
    branches = 2 * sum(CONFIG.depths)
    assert len(keys) == len(set(keys)) == 2 * PASSES * 2 * branches  # steps × networks × branches


def test_rates_rise_linearly_over_the_blocks(student, monkeypatch):
    """Two branches per block; block i of n drops with rate · i / (n − 1)."""
    rates, original = [], mit.drop_path

    def record(x, key, rate):
        rates.append(None if key is None else float(rate))
        return original(x, key, rate)

    monkeypatch.setattr(mit, "drop_path", record)
    images = jnp.zeros((1, 32, 32, 3))
    jax.eval_shape(lambda key: student.encoder(images, key, 0.1), jax.random.key(5))
    np.testing.assert_allclose(rates, np.repeat(np.linspace(0, 0.1, 5), 2))
    rates.clear()
    jax.eval_shape(lambda: student.encoder(images))  # without a key: evaluation
    assert rates == [None] * 10


def test_the_encoder_keeps_all_branches_as_often_as_their_rates_say(student, monkeypatch):
    draws = 500
    graph, state = nnx.split(student.encoder)
    image = jax.random.normal(jax.random.key(0), (1, 32, 32, 3))

    def last_level(key):
        return nnx.merge(graph, state)(image, key, RATE)[3].ravel()

    found = np.asarray(jax.vmap(jax.jit(last_level))(jax.random.split(jax.random.key(7), draws)))
    monkeypatch.setattr(mit, "drop_path", lambda x, key, rate: x / (1 - rate))
    whole = np.asarray(jax.jit(lambda key: last_level(key))(jax.random.key(0)))
    kept_all = np.abs(found - whole).max(1) < 1e-4
    assert_rate(kept_all, np.prod((1 - np.linspace(0, RATE, 5)) ** 2))
    assert len(np.unique(found.round(3), axis=0)) > 30

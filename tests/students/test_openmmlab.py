"""OpenMMLab's SegFormer adapts and is kept, with the statistics of all its five normalisations."""

import jax
import jax.numpy as jnp
import numpy as np

from ditta_jax.algorithm import adaptation, inference
from ditta_jax.algorithm.adaptation import AdaptationSettings, TaughtFrames
from ditta_jax.algorithm.optimiser import Hyperparameters
from ditta_jax.students import checkpoint
from ditta_jax.students.openmmlab.config import OpenMMLabConfig
from ditta_jax.students.parts import join_student, split_student
from ditta_jax.students.student import new_student

INNER, SIZE, T, O = (32, 64), (30, 60), 2, 2
CONFIG = OpenMMLabConfig(
    3, (4, 4, 6, 8), (1, 1, 1, 1), (1, 1, 2, 2), (8, 4, 2, 1), 1, embed_dim=6, radius=1
)


def test_it_adapts_with_all_its_statistics_and_is_kept(tmp_path):
    random = np.random.default_rng(0)
    frames = jnp.asarray(random.normal(size=(T, *INNER, 3)), jnp.float32)
    network, graph, encoder = split_student(new_student(CONFIG, seed=1), "decoder")
    warm_up = TaughtFrames(
        inference.encode(graph, encoder, network, frames),
        jnp.asarray(random.integers(0, 3, (T, *SIZE)), jnp.uint8),
        jnp.asarray(random.integers(0, O + 1, (T, *SIZE)), jnp.uint8),
        jnp.ones(T, bool),
    )
    before = jax.tree.map(np.array, network.statistics)  # the state is donated
    state, losses = adaptation.adapt(
        adaptation.new_state(network, O, jax.random.key(0), "decoder"),
        *(graph, encoder, warm_up, Hyperparameters(), AdaptationSettings(INNER, "decoder"), 2),
    )
    assert np.isfinite(losses.total).all()
    leaves = zip(jax.tree.leaves(before), jax.tree.leaves(state.live.statistics), strict=True)
    moved = [not np.array_equal(old, new) for old, new in leaves]
    assert len(moved) == 10 and all(moved)  # mean and variance of four levels and of the sum

    adapted = join_student(graph, encoder, state.live)
    card = checkpoint.StudentCard(CONFIG, ("a", "b", "c"), ((0, 0, 0),) * 3, {})
    checkpoint.save(tmp_path / "kept", adapted, card)
    again, found = checkpoint.load(tmp_path / "kept")
    assert found.config == CONFIG and type(found.config) is OpenMMLabConfig
    assert checkpoint.fingerprint(again) == checkpoint.fingerprint(adapted)

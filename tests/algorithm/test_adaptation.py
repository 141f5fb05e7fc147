"""Properties of the adaptation's scan; its numbers are compared with torch in tests/parity.

In double precision, because AdamW turns the rounding noise of parameters without gradient into
steps. One step per frame, one pass: most tests share one compiled program.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from ditta_jax.algorithm import adaptation, precision
from ditta_jax.algorithm.adaptation import AdaptationSettings, TaughtFrames
from ditta_jax.algorithm.optimiser import Hyperparameters
from ditta_jax.students.parts import Adaptable, join_student, split_student
from ditta_jax.students.segformer.config import SegFormerConfig
from ditta_jax.students.student import new_student

CONFIG = SegFormerConfig(
    3, (3, 4, 4, 5), (1, 1, 1, 1), (1, 1, 1, 1), (8, 4, 2, 1), 1, embed_dim=6, radius=1
)
SETTINGS = AdaptationSettings((32, 32), dropout=0.3)
T, O, SIZE = 3, 3, (19, 23)
DOUBLE = 1e-11


@pytest.fixture(scope="module", autouse=True)
def double():
    with jax.enable_x64(True):
        yield


class Parts(NamedTuple):
    network: Adaptable
    graph: nnx.GraphDef
    encoder: nnx.State


@pytest.fixture(scope="module")
def parts():
    network, graph, encoder = split_student(new_student(CONFIG))
    return Parts(precision.cast(network, "float64"), graph, precision.cast(encoder, "float64"))


def clip(seed=0, frames=T, objects=O):
    """A warm-up: features of an imagined encoder, random labels, every object on every frame."""
    random = np.random.default_rng(seed)
    features = tuple(
        jnp.asarray(random.normal(size=(frames, 32 // s, 32 // s, c)))
        for s, c in zip((4, 8, 16, 32), CONFIG.channels, strict=True)
    )
    labels = random.choice([0, 1, 2, 255], (frames, *SIZE)).astype(np.uint8)
    ids = random.integers(0, objects + 1, (frames, *SIZE)).astype(np.uint8)
    return TaughtFrames(features, jnp.asarray(labels), jnp.asarray(ids), jnp.ones(frames, bool))


def hyper(**changes):
    values = Hyperparameters(eps=1e-4)._asdict() | changes  # noise / eps is no step
    return Hyperparameters(**{name: jnp.asarray(v, jnp.float64) for name, v in values.items()})


def start(parts, objects=O, seed=0):
    return adaptation.new_state(parts.network, objects, jax.random.key(seed))


def adapt(parts, warm_up, numbers=None, *, state=None, settings=SETTINGS, objects=O):
    state = start(parts, objects) if state is None else state
    numbers = hyper() if numbers is None else numbers
    return adaptation.adapt(state, parts.graph, parts.encoder, warm_up, numbers, settings, 1)


@pytest.fixture(scope="module")
def adapted(parts):
    return adapt(parts, clip())


def adam(state, part):
    """AdamW's moments and count of one part of the parameters."""
    inner = state.optimiser.inner_states[part]
    found = [s for s in jax.tree.leaves(inner, is_leaf=is_adam) if is_adam(s)]
    return found[0] if found else None


def is_adam(x):
    return isinstance(x, optax.ScaleByAdamState)


def steps(state):
    return {part: int(adam(state, part).count) for part in ("rest", "projection", "fusion")}


def arrays(tree):
    """Leaves as numpy arrays by name; keys as their words."""

    def plain(x):
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            x = jax.random.key_data(x)
        return np.asarray(x)

    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): plain(leaf) for path, leaf in leaves}


def assert_close(found, expected, atol=DOUBLE):
    found, expected = arrays(found), arrays(expected)
    assert found.keys() == expected.keys()
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], 0, atol, err_msg=name)


def changed(new, old):
    """Names of the leaves that differ by more than rounding."""
    new, old = (
        {name: value.astype(np.float64) for name, value in arrays(tree).items()}
        for tree in (new, old)
    )
    return {name for name in old if np.abs(new[name] - old[name]).max() > 1e-15}


def only_frame(warm_up, *frames):
    return warm_up._replace(has_target=jnp.asarray([t in frames for t in range(T)]))


def test_every_parameter_moves_and_every_step_has_its_losses(parts, adapted):
    state, losses = adapted
    assert changed(state.live.params, parts.network.params) == arrays(state.live.params).keys()
    assert jnp.isfinite(losses.total).all() and losses.total.shape == (T,)
    assert np.isnan(losses.distill_fused[0]) and jnp.isfinite(losses.distill_fused[1:]).all()
    total = np.nansum([losses.distill, losses.distill_fused, losses.contrast], axis=0)
    np.testing.assert_allclose(losses.total, total, rtol=1e-14)
    assert steps(state) == {"rest": 3, "projection": 3, "fusion": 2}


def test_padded_frames_and_objects_change_nothing(parts, adapted):
    warm_up, more = clip(), clip(seed=9, frames=2)
    padded = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), warm_up, more)
    padded = padded._replace(has_target=jnp.arange(T + 2) < T)
    state, losses = adapt(parts, padded, objects=O + 2)
    assert not state.prototypes.seen[O:].any() and (state.prototypes.vectors[O:] == 0).all()
    prototypes = jax.tree.map(lambda x: x[:O], state.prototypes)
    assert_close(state._replace(prototypes=prototypes), adapted[0])
    assert np.isnan(losses.total[T:]).all()
    assert_close(jax.tree.map(lambda x: x[:T], losses), adapted[1])


def test_the_first_frame_leaves_the_fusion_and_its_count_alone(parts):
    state, losses = adapt(parts, only_frame(clip(), 0))
    assert not changed(state.live.params["fusion"], parts.network.params["fusion"])
    assert steps(state) == {"rest": 1, "projection": 1, "fusion": 0}
    assert not any(a.any() for a in arrays(adam(state, "fusion").mu).values())
    assert np.isfinite(losses.total[0]) and np.isnan(losses.distill_fused).all()


def test_frames_without_a_target_are_skipped_wholly(parts):
    state, losses = adapt(parts, only_frame(clip()))
    for name, value in arrays(start(parts)).items():
        np.testing.assert_array_equal(arrays(state)[name], value, err_msg=name)
    assert all(np.isnan(column).all() for column in losses.columns().values())


def test_a_skipped_frame_is_still_the_previous_one_of_the_next(parts):
    warm_up = only_frame(clip(), 2)
    labels = warm_up.labels.at[:2].set(0)
    ids = warm_up.object_ids.at[:2].set(0)
    before, _ = adapt(parts, warm_up)
    other, _ = adapt(parts, warm_up._replace(labels=labels, object_ids=ids))
    assert not changed(before, other)  # its targets are of no interest
    features = tuple(x.at[1].add(1.0) for x in warm_up.features)
    after, _ = adapt(parts, warm_up._replace(features=features))
    assert changed(after.live.params["fusion"], before.live.params["fusion"])


def test_frames_without_objects_leave_the_projection_head_alone(parts):
    warm_up = clip()._replace(object_ids=jnp.zeros((T, *SIZE), jnp.uint8))
    state, losses = adapt(parts, warm_up)
    head = parts.network.params["decoder"]["projection"]
    assert not changed(state.live.params["decoder"]["projection"], head)
    assert not changed(state.momentum.params["decoder"]["projection"], head)
    assert steps(state) == {"rest": T, "projection": 0, "fusion": T - 1}
    assert np.isnan(losses.contrast).all() and np.isfinite(losses.total).all()
    assert not state.prototypes.seen.any()


def test_one_step_is_the_formula_of_adamw_and_of_the_momentum_network(parts):
    numbers = {"lr": 2e-3, "eps": 1e-6, "weight_decay": 0.05, "momentum": 0.9}
    state, _ = adapt(parts, only_frame(clip(), 0), hyper(**numbers))
    old, new, mean, first, second = (
        arrays(tree)
        for tree in (
            parts.network.params["decoder"]["classifier"],
            state.live.params["decoder"]["classifier"],
            state.momentum.params["decoder"]["classifier"],
            adam(state, "rest").mu["decoder"]["classifier"],
            adam(state, "rest").nu["decoder"]["classifier"],
        )
    )
    for name, value in old.items():
        gradient = first[name] / (1 - 0.9)
        np.testing.assert_allclose(second[name], 0.001 * gradient**2, rtol=1e-10)
        step = gradient / (abs(gradient) + 1e-6) + 0.05 * value
        np.testing.assert_allclose(new[name], value - 2e-3 * step, rtol=0, atol=1e-14)
        np.testing.assert_allclose(mean[name], 0.9 * value + 0.1 * new[name], rtol=0, atol=1e-15)


def test_the_norm_of_the_gradient_is_told_where_asked(parts, adapted):
    asked = SETTINGS._replace(gradient_norm=True)
    assert "gradient_norm" not in adapted[1].columns()
    _, losses = adapt(parts, clip(), settings=asked)
    assert (losses.gradient_norm > 0).all()
    np.testing.assert_array_equal(losses.total, adapted[1].total)
    # after a single step AdamW's first moment is a tenth of the gradient
    state, losses = adapt(parts, only_frame(clip(), 1), settings=asked)
    assert np.isnan(losses.gradient_norm[0]) and np.isnan(losses.gradient_norm[2:]).all()
    moments = [adam(state, part).mu for part in ("rest", "projection", "fusion")]
    gradient = [np.ravel(leaf) / (1 - 0.9) for leaf in jax.tree.leaves(moments)]
    expected = np.linalg.norm(np.concatenate(gradient))
    np.testing.assert_allclose(losses.gradient_norm[1], expected, rtol=1e-12)


def test_running_statistics_are_those_of_the_clip(parts):
    warm_up = clip()
    student = join_student(*parts[1:], parts.network)
    for frames, last in (([0], 0), ([0, 1], 1)):
        state, _ = adapt(parts, only_frame(warm_up, last))
        levels = tuple(x[np.array(frames)] for x in warm_up.features)
        fused = np.asarray(student.decoder.fuse_levels(levels)).reshape(-1, CONFIG.embed_dim)
        for network in (state.live, state.momentum):
            norm = network.statistics["decoder"]["norm"]
            np.testing.assert_allclose(norm["mean"], 0.1 * fused.mean(0), rtol=1e-10)
            expected = 0.9 + 0.1 * fused.var(0, ddof=1)
            np.testing.assert_allclose(norm["var"], expected, rtol=1e-10)


def test_the_same_key_gives_the_same_bytes_and_another_one_other_dropout(parts, adapted):
    again, _ = adapt(parts, clip())
    for name, value in arrays(adapted[0]).items():
        assert arrays(again)[name].tobytes() == value.tobytes(), name
    other, _ = adapt(parts, clip(), state=start(parts, seed=1))
    assert changed(other.live.params, again.live.params)


def test_the_state_is_donated_and_nothing_else(parts):
    state, warm_up = start(parts), clip()
    adapt(parts, warm_up, state=state)
    for tree in (parts.network, parts.encoder, warm_up):
        assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(tree))
    assert jax.tree.leaves(state.live.params)[0].is_deleted()


def test_nothing_travels_between_host_and_device_within(parts):
    arguments = jax.device_put((start(parts), parts.encoder, clip(), hyper()))
    state, encoder, warm_up, numbers = arguments
    with jax.transfer_guard("disallow"):
        out = adaptation.adapt(state, parts.graph, encoder, warm_up, numbers, SETTINGS, 1)
        jax.block_until_ready(out)


@pytest.mark.parametrize("train", ["classifier", "addon"])
def test_smaller_parameter_groups_leave_the_rest_alone(parts, train):
    state = adaptation.new_state(parts.network, O, jax.random.key(0), train)
    state, _ = adapt(parts, clip(), state=state, settings=SETTINGS._replace(train=train))
    part = "['decoder']['classifier']" if train == "classifier" else "['fusion']"
    names = arrays(parts.network.params)
    for network in (state.live, state.momentum):
        moved = changed(network.params, parts.network.params)
        assert moved == {name for name in names if name.startswith(part)}


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_settings_are_mapped_one_by_one_or_at_once(monkeypatch, backend):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    found = adaptation.map_settings(lambda x: (x[0] + x[1], x[0].sum()), (jnp.eye(3), jnp.ones(3)))
    assert_close(found, (jnp.eye(3) + 1, jnp.ones(3)))


def test_many_settings_at_once_equal_single_runs(parts, adapted):
    rates, decays = jnp.array([1e-3, 1e-2]), jnp.array([1e-2, 0.1])
    numbers = hyper()._replace(lr=rates, weight_decay=decays)
    axes = Hyperparameters(0, None, None, None, 0, None)
    run = jax.vmap(functools.partial(adapt, parts, clip()), in_axes=(axes,))
    states, losses = jax.jit(run)(numbers)
    single = adapt(parts, clip(), hyper(lr=1e-2, weight_decay=0.1))
    for k, expected in enumerate((adapted, single)):
        found = jax.tree.map(lambda x, k=k: x[k], (states.live, states.momentum, losses))
        assert_close(found, (expected[0].live, expected[0].momentum, expected[1]))


@pytest.mark.parametrize("term", ["plain", "fused", "contrast"])
def test_what_is_left_out_of_the_loss_is_not_learnt_from(parts, adapted, term):
    state, losses = adapt(parts, clip(), settings=SETTINGS._replace(terms=(term,)))
    column = {"plain": "distill", "fused": "distill_fused", "contrast": "contrast"}[term]
    own, whole = getattr(losses, column), getattr(adapted[1], column)
    np.testing.assert_array_equal(own[0], whole[0])  # before the first step; no fusion there
    np.testing.assert_array_equal(losses.total, np.nan_to_num(own))
    others = set(losses.columns()) - {column, "total"}
    assert all(np.isnan(getattr(losses, name)).all() for name in others)
    counts = steps(state)
    assert counts["fusion"] == (T - 1 if term == "fused" else 0)
    assert counts["projection"] == (T if term == "contrast" else 0)

"""A convolutional family that only this test knows goes everywhere a student goes."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from ditta_jax import pretrain
from ditta_jax.algorithm import adaptation, inference
from ditta_jax.algorithm.adaptation import AdaptationSettings, TaughtFrames
from ditta_jax.algorithm.optimiser import Hyperparameters
from ditta_jax.configuration import default_config
from ditta_jax.errors import UserError
from ditta_jax.students import checkpoint, families
from ditta_jax.students.head import Head
from ditta_jax.students.layers import affine
from ditta_jax.students.normalisation import BatchNorm
from ditta_jax.students.parts import Adaptable, join_student, split_student
from ditta_jax.students.sizes import MEAN, STD
from ditta_jax.students.student import new_student
from tests.segmenting import segment

INNER, SIZE, T, O = (16, 24), (14, 22), 3, 2


@dataclasses.dataclass(frozen=True)
class ConvConfig:
    num_classes: int
    embed_dim: int = 6
    radius: int = 1
    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD


class ConvEncoder(nnx.Module):
    def __init__(self, config, rngs):
        self.conv = nnx.Conv(3, 5, (4, 4), strides=4, padding="VALID", rngs=rngs)
        self.norm = BatchNorm(5)

    def __call__(self, frames, key=None, stochastic_depth=0.0, weight=None):
        return {"map": jax.nn.relu(self.norm(self.conv(frames), weight))}


class ConvDecoder(Head):
    def __init__(self, config, rngs):
        super().__init__(config, rngs)
        self.linear = nnx.Linear(5, config.embed_dim, rngs=rngs)

    def embed(self, features, weight=None):
        return jax.nn.relu(affine(self.linear, features["map"]))


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setattr(families, "FAMILIES", dict(families.FAMILIES))
    families.register("conv", families.Family(ConvConfig, ConvEncoder, ConvDecoder))


@pytest.fixture
def student(registered):
    return new_student(ConvConfig(3), seed=1)


def frames():
    return jnp.asarray(np.random.default_rng(0).normal(size=(T, *INNER, 3)), jnp.float32)


def warm_up(features):
    random = np.random.default_rng(1)
    labels = random.integers(0, 3, (T, *SIZE)).astype(np.uint8)
    ids = random.integers(0, O + 1, (T, *SIZE)).astype(np.uint8)
    return TaughtFrames(features, jnp.asarray(labels), jnp.asarray(ids), jnp.ones(T, bool))


def adapt(student, train):
    network, graph, encoder = split_student(student, train)
    shown = frames()
    if "encoder" not in network.params:
        shown = inference.encode(graph, encoder, network, shown)
    state = adaptation.new_state(network, O, jax.random.key(0), train)
    settings = AdaptationSettings(INNER, train)
    state, losses = adaptation.adapt(
        state, graph, encoder, warm_up(shown), Hyperparameters(), settings, 2
    )
    assert np.isfinite(losses.total).all()
    return network, state.live, graph, encoder


def moved(before, after):
    """Paths of the leaves that changed, without their brackets."""
    pairs = zip(*(jax.tree.leaves_with_path(tree) for tree in (before, after)), strict=True)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/")
        for (path, old), (_, new) in pairs
        if not np.array_equal(old, new)
    }


def test_it_trains_on_stills_its_encoder_and_statistics_included(student):
    network, graph, rest = split_student(student, "all")
    assert not jax.tree.leaves(rest)
    train = default_config().train
    train.warmup_steps = 0
    optimiser = pretrain.make_optimiser(train)
    state = pretrain.TrainState(network, optimiser.init(network.params), jnp.zeros((), jnp.int32))
    labels = jnp.zeros((T, *INNER), jnp.uint8)
    before = jax.tree.map(np.array, network)
    state, loss = pretrain.train_step(
        state, frames(), labels, jax.random.key(0), graph=graph, optimiser=optimiser, rates=(0, 0.1)
    )
    assert np.isfinite(loss)
    layers = ("encoder/conv", "decoder/linear", "decoder/classifier", "encoder/norm")
    names = moved(before.params, state.network.params)
    assert {name.rpartition("/")[0] for name in names} == set(layers)
    assert moved(before.statistics, state.network.statistics) == {
        "encoder/norm/mean",
        "encoder/norm/var",
    }
    assert pretrain.predict(graph, state.network, frames()).shape == (T, *INNER)


def test_it_adapts_segments_and_is_kept(student, tmp_path):
    network, live, graph, encoder = adapt(student, "decoder")
    assert network.statistics == {}  # its only BatchNorm is the frozen encoder's
    assert {name.partition("/")[0] for name in moved(network.params, live.params)} == {
        "decoder",
        "fusion",
    }
    features = inference.encode(graph, encoder, network, frames()[:1])
    first = jax.tree.map(lambda x: x[0], features)
    before = inference.previous_frame(graph, encoder, live, first, True)
    _, labels, plain = segment(graph, encoder, live, network, before, frames(), SIZE, 0.8)
    assert labels.shape == plain.shape == (T, *SIZE) and labels.max() < 3

    adapted = join_student(graph, encoder, live)
    card = checkpoint.StudentCard(adapted.config, ("a", "b", "c"), ((0, 0, 0),) * 3, {})
    checkpoint.save(tmp_path / "kept", adapted, card)
    assert json.loads((tmp_path / "kept" / "student.json").read_text())["family"] == "conv"
    again, found = checkpoint.load(tmp_path / "kept")
    assert found.config == ConvConfig(3)
    assert checkpoint.fingerprint(again) == checkpoint.fingerprint(adapted)


@pytest.mark.parametrize(
    ("train", "parts"),
    [
        ("norms", {"encoder/norm"}),
        ("all", {"encoder/conv", "encoder/norm", "decoder", "fusion"}),
    ],
)
def test_groups_with_parameters_of_the_encoder_adapt_it(student, train, parts):
    network, live, graph, encoder = adapt(student, train)
    names = moved(network.params, live.params)
    assert names and all(name.startswith(tuple(parts)) for name in names)
    assert all(any(name.startswith(part) for name in names) for part in parts)
    assert moved(network.statistics, live.statistics) == {"encoder/norm/mean", "encoder/norm/var"}
    # stage D with the adapted encoder, and with the frozen one beside it
    features = inference.encode(graph, encoder, live, frames()[:1])
    first = jax.tree.map(lambda x: x[0], features)
    before = inference.previous_frame(graph, encoder, live, first, False)
    _, labels, plain = segment(graph, encoder, live, network, before, frames()[:1], SIZE, 0.0)
    for own, found in ((live, labels), (network, plain)):
        features = inference.encode(graph, encoder, own, frames()[:1])
        expected = inference.label_plain(graph, encoder, own, features, SIZE, INNER).label
        np.testing.assert_array_equal(found, expected)


def test_an_unknown_family_is_named_before_anything_is_read(student, tmp_path):
    card = checkpoint.StudentCard(student.config, ("a", "b", "c"), ((0, 0, 0),) * 3, {})
    checkpoint.save(tmp_path / "kept", student, card)
    del families.FAMILIES["conv"]
    with pytest.raises(UserError, match=r"student family must be one of segformer.*not 'conv'"):
        checkpoint.load(tmp_path / "kept")


def test_a_split_student_joins_to_the_same_one(student):
    for group in ("decoder", "all"):
        network, graph, encoder = split_student(student, group)
        assert isinstance(network, Adaptable)
        joined = join_student(graph, encoder, network)
        assert checkpoint.fingerprint(joined) == checkpoint.fingerprint(student)

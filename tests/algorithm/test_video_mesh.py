"""Videos adapted to side by side, over devices, equal videos adapted to one by one.

In double precision, because AdamW turns rounding noise into steps.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ditta_jax.algorithm import adaptation
from ditta_jax.algorithm.model import take_apart
from ditta_jax.algorithm.settings import Settings
from ditta_jax.algorithm.targets import FrameTarget
from ditta_jax.algorithm.video_mesh import fetch, home, on_every_device, spread, video_mesh
from ditta_jax.methods import ditta
from ditta_jax.methods.protocol import WarmUp
from ditta_jax.students.segformer.config import SegFormerConfig
from ditta_jax.students.student import new_student

STUDENT = SegFormerConfig(
    3, (3, 4, 4, 5), (1, 1, 1, 1), (1, 1, 1, 1), (8, 4, 2, 1), 1, embed_dim=6, radius=1
)
pytestmark = pytest.mark.eight_devices
SIZE, INPUT = (19, 23), (32, 32)
COLLECTIVES = (
    "all-reduce",
    "all-gather",
    "all-to-all",
    "collective-permute",
    "collective-broadcast",
    "reduce-scatter",
)
# Warm-up frames that have a target, of how many, and objects: other buckets of frames and objects.
VIDEOS = {
    "short": ([0, 1], 2, 3),
    "many objects": ([0, 2], 3, 17),
    "untaught": ([], 2, 1),
    "begins late": ([1], 2, 1),
}


@pytest.fixture(scope="module", autouse=True)
def double():
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def model():
    return take_apart(new_student(STUDENT), "float64")


def settings(depth=0.0):
    return Settings(iters=2, dropout=0.3, eps=1e-4, stochastic_depth=depth, compute="float64")


def warm_up(name, depth=0.0):
    """Stage A's result and targets: features of an imagined encoder, random labels."""
    taken, frames, objects = VIDEOS[name]
    random = np.random.default_rng(len(name))
    shapes = [(32 // s, 32 // s, c) for s, c in zip((4, 8, 16, 32), STUDENT.channels, strict=True)]
    features = [tuple(jnp.asarray(random.normal(size=s)) for s in shapes) for _ in range(frames)]
    if depth > 0:
        features = [jnp.asarray(random.normal(size=(*INPUT, 3))) for _ in range(frames)]
    labels = random.integers(0, 3, (frames, *SIZE)).astype(np.uint8)
    found = WarmUp(name, features, None, labels, None, INPUT, features[-1])
    ids = random.integers(0, objects + 1, (frames, *SIZE)).astype(np.uint8)
    ids[:, 0, 0] = objects
    targets = [FrameTarget(labels[t], ids[t]) if t in taken else None for t in range(frames)]
    return found, targets


@pytest.fixture(scope="module")
def one_by_one(model):
    return {name: ditta.adapt_to(model, *warm_up(name), settings()) for name in VIDEOS}


@pytest.fixture
def programs(monkeypatch):
    """Texts of the compiled adaptations to several videos, as they are called."""
    texts, jitted = [], adaptation.adapt_to_videos

    def compiled(state, graph, encoder, warm_up, hyper, *static):
        program = jitted.lower(state, graph, encoder, warm_up, hyper, *static).compile()
        texts.append(program.as_text())
        return program(state, encoder, warm_up, hyper)

    monkeypatch.setattr(adaptation, "adapt_to_videos", compiled)
    return texts


def together(model, names, devices, depth=0.0):
    found, targets = zip(*(warm_up(name, depth) for name in names), strict=True)
    return ditta.adapt_to_many(model, found, targets, settings(depth), jax.devices()[:devices])


def assert_equal(found, expected):
    network, rows = found
    for ours, theirs in zip(*map(jax.tree.leaves, (network, expected[0])), strict=True):
        assert ours.devices() == {jax.devices()[0]}
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)
    assert [list(row) for row in rows] == [list(row) for row in expected[1]]
    ours, theirs = ([list(row.values()) for row in rows] for rows in (rows, expected[1]))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)


@pytest.mark.parametrize("devices", [1, 2, 8])
def test_side_by_side_as_one_by_one_and_without_communication(model, one_by_one, programs, devices):
    found = together(model, list(VIDEOS), devices)
    for name, own in zip(VIDEOS, found, strict=True):
        assert_equal(own, one_by_one[name])
    assert [len(own[1]) for own in found] == [4, 4, 0, 2]  # losses of each frame and pass
    (text,) = programs
    entry = text[text.index("\nENTRY") :]
    arguments = [line for line in entry.splitlines() if " parameter(" in line]
    assert len(arguments) > 50 and not [a for a in arguments if "encoder" in a]  # it is not sent
    assert f"num_partitions={devices}" in text or devices == 1
    assert not [word for word in COLLECTIVES if word in text]


def test_the_encoder_too_is_computed_where_the_video_is(model, programs):
    first, second = together(model, ["short", "short"], 2, depth=0.5)
    assert len(first[1]) == 4 and np.isfinite([row["total"] for row in first[1]]).all()
    assert_equal(first, second)
    assert not [word for word in COLLECTIVES if word in programs[0]]


def test_one_video_to_learn_from_needs_no_program_of_its_own(model, one_by_one, programs):
    found = together(model, ["untaught", "short"], 2)
    assert not programs and found[0] == (model.network, [])
    assert_equal(found[1], one_by_one["short"])


def test_videos_are_spread_evenly_and_come_back_in_order():
    mesh = video_mesh(jax.devices()[:4])
    videos = [{"x": jnp.full(2, v), "key": jax.random.key(v)} for v in range(6)]
    stacked = spread(videos, mesh)
    assert [int(shard.data[0, 0]) for shard in stacked["x"].addressable_shards] == [0, 2, 4, 5]
    assert stacked["x"].shape == (8, 2) and stacked["key"].shape == (8,)
    assert stacked["key"].sharding == stacked["x"].sharding
    assert jnp.array_equal(stacked["key"][5], videos[5]["key"])
    assert [int(video[0]) for video in fetch(stacked["x"], 6)] == list(range(6))
    homes = [home(v, 6, mesh) for v in range(6)]
    assert homes == [mesh.devices[i] for i in (0, 0, 1, 1, 2, 2)]
    at_home = [jax.device_put(videos[v]["x"], homes[v]) for v in range(6)]
    with jax.transfer_guard_device_to_host("disallow"):
        assert jnp.array_equal(spread(at_home, mesh), stacked["x"])
    copies = on_every_device(jnp.arange(3), mesh)
    assert copies.is_fully_replicated and copies.devices() == set(mesh.devices)

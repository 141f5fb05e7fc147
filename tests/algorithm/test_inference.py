"""Stages A and D against dense evaluation, and what the scan carries."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ditta_jax.algorithm import full_resolution, inference
from ditta_jax.algorithm.inference import PreviousFrame
from ditta_jax.data.preprocess import normalise
from ditta_jax.students.parts import join_student, split_student
from ditta_jax.students.resize_matrices import chain
from ditta_jax.students.segformer.config import SegFormerConfig
from ditta_jax.students.student import new_student
from tests import segmenting

CONFIG = SegFormerConfig(
    3, (3, 4, 4, 5), (1, 1, 1, 1), (1, 1, 1, 1), (8, 4, 2, 1), 1, embed_dim=6, radius=1
)
INNER, SIZE, T = (32, 64), (21, 37), 4
TAU = 0.8


@pytest.fixture(scope="module")
def parts():
    """Graph, encoder, adapted and frozen network; the classifier is sharp so that frames differ."""
    network, graph, encoder = split_student(new_student(CONFIG))
    frozen, _, _ = split_student(new_student(CONFIG, seed=1))
    for net in (network, frozen):
        classifier = net.params["decoder"]["classifier"]
        classifier["kernel"] = 20 * classifier["kernel"]
    return graph, encoder, network, frozen


@pytest.fixture(scope="module")
def frames():
    return jnp.asarray(np.random.default_rng(0).normal(size=(T, *INNER, 3)), jnp.float32)


def placeholder(exists=False):
    h, w = INNER[0] // 4, INNER[1] // 4
    random = np.random.default_rng(5)
    f, z = (jnp.asarray(random.normal(size=(h, w, c)), jnp.float32) for c in (6, 3))
    return PreviousFrame(f, z, jnp.asarray(exists))


def segment(parts, previous, frames, threshold=TAU):
    return segmenting.segment(*parts, previous, frames, SIZE, threshold)


@pytest.fixture(scope="module")
def segmented(parts, frames):
    return segment(parts, placeholder(), frames)


def probabilities(z):
    rows, columns = (chain(z.shape[axis], INNER[axis], SIZE[axis]) for axis in (0, 1))
    x = np.einsum("Hh,Ww,hwc->HWc", rows, columns, np.asarray(z, np.float64))
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def reliability(p):
    E = -np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0).sum(-1)
    return 1 - E / E.max()


def slow_fusion(plain, fused, threshold):
    """Eq. 3 with both probability maps."""
    p, q = probabilities(plain), probabilities(fused)
    a, b = (reliability(x)[..., None] for x in (p, q))
    mixed = (a * p + b * q) / (a + b)
    return np.where((a < threshold)[..., 0], mixed.argmax(-1), p.argmax(-1))


@pytest.fixture(scope="module")
def features(parts, frames):
    return inference.encode(*parts[:3], frames)


@pytest.mark.optimised
def test_images_are_normalised_as_on_the_host_bit_for_bit():
    every = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=-1)
    found = inference.normalised(jnp.asarray(every), "float32")
    np.testing.assert_array_equal(found, normalise(every))
    half = inference.normalised(jnp.asarray(every), "bfloat16")
    np.testing.assert_array_equal(half, jnp.asarray(normalise(every), jnp.bfloat16))


def test_stage_a_equals_a_dense_evaluation(parts, frames, features):
    plain = inference.label_plain(*parts[:3], features, SIZE, INNER)
    assert plain.label.shape == plain.reliability.shape == (T, *SIZE)
    for t in range(T):
        one = jax.tree.map(lambda x, t=t: x[t], features)
        carry = inference.previous_frame(*parts[:3], one, True)
        p = probabilities(carry.z)
        top = np.sort(p, -1)
        clear = top[..., -1] - top[..., -2] > 1e-5
        np.testing.assert_array_equal(plain.label[t][clear], p.argmax(-1)[clear])
        np.testing.assert_allclose(plain.reliability[t], reliability(p), rtol=0, atol=1e-5)


def test_frames_after_the_first_equal_dense_fusion(parts, frames, features, segmented):
    graph, encoder, network, _ = parts
    student = join_student(graph, encoder, network)
    fuse = jax.jit(student.fusion)
    carries = [
        inference.previous_frame(*parts[:3], jax.tree.map(lambda x, t=t: x[t], features), True)
        for t in range(T)
    ]
    agree = plain_only = 0
    for t in range(1, T):
        fused = fuse(carries[t].f, carries[t - 1].f, carries[t - 1].z)
        expected = slow_fusion(carries[t].z, fused, TAU)
        agree += (np.asarray(segmented[1][t]) == expected).mean() / (T - 1)
        plain_only += (probabilities(carries[t].z).argmax(-1) == expected).mean() / (T - 1)
    assert agree > 0.998  # ties and the threshold in single against double precision
    assert plain_only < 0.97  # else nothing was tested


def test_a_scan_over_chunks_equals_frame_by_frame(parts, frames, segmented):
    carry, labels, frozen_labels = placeholder(), [], []
    for t in range(T):
        carry, label, frozen_label = segment(parts, carry, frames[t : t + 1])
        labels.append(label[0])
        frozen_labels.append(frozen_label[0])
    np.testing.assert_array_equal(labels, segmented[1])
    np.testing.assert_array_equal(frozen_labels, segmented[2])
    np.testing.assert_allclose(carry.z, segmented[0].z, rtol=0, atol=1e-4)
    assert bool(carry.exists) and bool(segmented[0].exists)


@pytest.mark.parametrize("backend", ["cpu", "gpu"])  # one after another, and at once
def test_many_networks_equal_one_by_one(parts, frames, monkeypatch, backend):
    graph, encoder, network, frozen = parts
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    several = jax.tree.map(lambda *x: jnp.stack(x), network, frozen)
    carries = jax.tree.map(lambda x: jnp.stack([x, x]), placeholder(True))
    jax.clear_caches()  # compiled programs remember what another backend gave
    carry, labels, baseline = segmenting.segment(
        graph, encoder, several, frozen, carries, frames, SIZE, TAU, several=True
    )
    for k, own in enumerate((network, frozen)):
        expected = segment((graph, encoder, own, frozen), placeholder(True), frames)
        np.testing.assert_array_equal(labels[:, k], expected[1])
        np.testing.assert_array_equal(baseline, expected[2])
        np.testing.assert_allclose(carry.z[k], expected[0].z, rtol=0, atol=1e-4)


def test_the_frozen_student_is_the_unadapted_plain_branch(parts, features, segmented):
    graph, encoder, _, frozen = parts
    plain = inference.label_plain(graph, encoder, frozen, features, SIZE, INNER)
    np.testing.assert_array_equal(segmented[2], plain.label)
    assert (np.asarray(segmented[1]) != np.asarray(segmented[2])).any()


def test_the_first_frame_of_a_video_has_only_the_plain_branch(parts, frames, features, segmented):
    plain = inference.label_plain(*parts[:3], features, SIZE, INNER).label
    np.testing.assert_array_equal(segmented[1][0], plain[0])
    _, labels, _ = segment(parts, placeholder(exists=True), frames[:1])
    assert (labels[0] != plain[0]).any()  # what the placeholder holds would have mattered


def test_a_threshold_of_zero_gives_the_plain_labels(parts, frames, features):
    plain = inference.label_plain(*parts[:3], features, SIZE, INNER).label
    _, labels, _ = segment(parts, placeholder(exists=True), frames[:1], threshold=0.0)
    np.testing.assert_array_equal(labels[0], plain[0])


def sure(classes):
    """Logits without any entropy."""
    return jnp.asarray(1e4 * np.eye(3, dtype=np.float32)[classes])


def test_frames_without_entropy_give_labels_and_full_reliability():
    classes = np.zeros((8, 16), int)
    label, E = inference._label_and_entropy(sure(classes), SIZE, INNER)
    assert (label == 0).all() and (E == 0).all()
    np.testing.assert_array_equal(inference._reliability(E), 1.0)
    fused = inference._fuse_branches(sure(classes), sure(classes + 1), True, SIZE, INNER, 2.0)
    assert set(np.unique(fused)) <= {0, 1}  # equal weights: a tie, but a label


def test_where_both_branches_are_unreliable_their_mean_decides():
    """Reliability is 0 everywhere on a frame whose entropy is the same at every pixel."""
    plain = jnp.broadcast_to(jnp.asarray([0.0, 1.0, 0.0]), (8, 16, 3))
    fused = jnp.broadcast_to(jnp.asarray([3.0, 0.0, 0.0]), (8, 16, 3))
    label = inference._fuse_branches(plain, fused, True, (8, 16), (8, 16), TAU)
    assert (label == 0).all()  # (0.21 + 0.91) against (0.58 + 0.05)


def test_labels_and_entropy_by_blocks_of_rows(monkeypatch):
    monkeypatch.setattr(full_resolution, "CACHE_ELEMENTS", 1)
    z = placeholder().z
    label, E = jax.jit(lambda z: inference._label_and_entropy(z, SIZE, INNER))(z)
    p = probabilities(z)
    np.testing.assert_array_equal(label, p.argmax(-1))
    np.testing.assert_allclose(1 - E / E.max(), reliability(p), rtol=0, atol=1e-5)

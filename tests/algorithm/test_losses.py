import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ditta_jax.algorithm import full_resolution
from ditta_jax.algorithm.losses import cross_entropy, momentum_reliability
from ditta_jax.labels import IGNORE
from ditta_jax.students.resize_matrices import chain

h, w, C = 4, 5, 3
INNER, SIZE = (8, 10), (13, 9)


@pytest.fixture(autouse=True)
def double_precision_in_small_blocks(monkeypatch):
    monkeypatch.setattr(full_resolution, "CACHE_ELEMENTS", 1)
    with jax.enable_x64(True):
        yield


def probabilities(z):
    rows, columns = chain(h, INNER[0], SIZE[0]), chain(w, INNER[1], SIZE[1])
    return jax.nn.softmax(jnp.einsum("Hh,Ww,hwc->HWc", rows, columns, z))


def slow_loss(z, label, on):
    """log-softmax of probabilities, or of logits, at each pixel's label."""
    p = probabilities(z)
    log_p = jax.nn.log_softmax(p) if on == "probabilities" else jnp.log(p)
    own = jnp.take_along_axis(log_p, (label % C)[..., None].astype(int), -1)[..., 0]
    return -jnp.where(label == IGNORE, 0.0, own).sum() / label.size


def scene():
    random = np.random.default_rng(0)
    label = random.integers(0, C, SIZE).astype(np.uint8)
    label[3:7, 2:] = IGNORE
    return jnp.asarray(3 * random.normal(size=(h, w, C))), label


@pytest.mark.parametrize("on", ["probabilities", "logits"])
def test_cross_entropy_and_its_gradient_equal_the_direct_ones(on):
    z, label = scene()
    ours = jax.jit(jax.value_and_grad(lambda z: cross_entropy(z, label, INNER, on)))(z)
    slow = jax.jit(jax.value_and_grad(lambda z: slow_loss(z, label, on)))(z)
    np.testing.assert_allclose(ours[0], slow[0], rtol=1e-14)
    np.testing.assert_allclose(ours[1], slow[1], rtol=0, atol=1e-15)


def test_ignored_pixels_are_left_out_but_counted_in_the_size():
    z, label = scene()
    loss = jax.jit(functools.partial(cross_entropy, input_size=INNER))
    p = np.asarray(probabilities(z))
    total = 0.0
    for y, x in zip(*np.nonzero(label != IGNORE), strict=True):  # the subset, pixel by pixel
        total += np.log(np.exp(p[y, x]).sum()) - p[y, x, label[y, x]]
    np.testing.assert_allclose(loss(z, label), total / label.size, rtol=1e-13)


def test_all_ignored_gives_zero_and_a_zero_gradient():
    z, label = scene()
    value, gradient = jax.jit(
        jax.value_and_grad(lambda z: cross_entropy(z, np.full_like(label, IGNORE), INNER))
    )(z)
    assert value == 0 and (gradient == 0).all()


def test_momentum_reliability_equals_the_direct_map():
    z, _ = scene()
    s = np.asarray(jax.nn.softmax(probabilities(z)))
    E = -(s * np.log(s)).sum(-1)
    expected = 1 - (E - E.min()) / (E.max() - E.min())
    found = jax.jit(functools.partial(momentum_reliability, size=SIZE, input_size=INNER))(z)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    assert abs(found.min()) < 1e-15 and found.max() == 1

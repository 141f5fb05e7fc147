"""What a TPU computes at source resolution, by blocks of columns, computed here."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ditta_jax.algorithm import column_blocks, contrast, inference, losses
from ditta_jax.algorithm.column_blocks import map_columns, sum_over_columns, upsampled_rows
from ditta_jax.students.platform import compiling_for
from ditta_jax.students.resize_matrices import chain

h, w, C, O = 5, 6, 3, 2
INNER = (7, 12)
H, W = 19, 21  # three blocks of eight columns, the last one with five
ROWS, COLUMNS = (h, INNER[0], H), (w, INNER[1], W)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(column_blocks, "ELEMENTS", 1)


@pytest.fixture
def arrays():
    random = np.random.default_rng(0)
    z, weight = random.normal(size=(h, w, C)), random.normal(size=(H, W))
    label = random.integers(0, C, (H, W)).astype(np.uint8)
    return jnp.asarray(z, jnp.float32), jnp.asarray(weight, jnp.float32), jnp.asarray(label)


def direct(z):
    """The whole map at source resolution, [H, c, W]."""
    return jnp.einsum("Hh,Ww,hwc->HcW", chain(*ROWS), chain(*COLUMNS), z)


def pixel_loss(x, weight, label):
    own = jnp.where(label[:, None] == jnp.arange(C, dtype=label.dtype)[None, :, None], x, 0.0).sum(
        1
    )
    return (weight * (jax.nn.logsumexp(x, 1) - own)).sum()


def test_map_columns_equals_the_function_of_the_whole_maps(arrays):
    z, weight, label = arrays

    def f(x, y, weight, label):
        return x.argmax(1), weight * jax.nn.logsumexp(y, 1) + label.astype(x.dtype)

    maps = z, jnp.concatenate([z, 2 * z], -1)
    found = jax.jit(lambda maps: map_columns(f, maps, ROWS, COLUMNS, weight, label))(maps)
    for a, b in zip(found, f(*map(direct, maps), weight, label), strict=True):
        assert a.shape == (H, W)
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-6)


def test_sum_over_columns_and_its_gradients_equal_the_direct_sum(arrays):
    def ours(z, weight, label):
        return sum_over_columns(pixel_loss, z, ROWS, COLUMNS, weight, label)

    def slow(z, weight, label):
        return pixel_loss(direct(z), weight, label)

    found, expected = (
        jax.jit(jax.value_and_grad(lambda *a, f=f: 3 * f(*a), argnums=(0, 1)))(*arrays)
        for f in (ours, slow)
    )
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-5)
    np.testing.assert_allclose(3 * jax.jit(ours)(*arrays), expected[0], rtol=1e-5)


def test_blocks_are_as_even_as_can_be(monkeypatch):
    assert column_blocks._blocks(ROWS, COLUMNS, C) == (3, 8)
    monkeypatch.setattr(column_blocks, "ELEMENTS", 16 * H * C)
    assert column_blocks._blocks(ROWS, COLUMNS, C) == (2, 16)
    monkeypatch.setattr(column_blocks, "ELEMENTS", 2**21)
    assert column_blocks._blocks(ROWS, COLUMNS, C) == (1, 24)
    assert column_blocks._blocks((120, 480), (216, 864, 853), 124) == (27, 32)


def test_a_block_is_a_product_in_parts_with_rows_in_the_lanes():
    source = jax.ShapeDtypeStruct((8, C, h), jnp.float32)
    text = str(jax.make_jaxpr(lambda x: upsampled_rows(x, (h, 4 * h)))(source))
    assert text.count("dot_general[") == 3 and text.count("layout_constraint[") == 1


def everything(z, z_fused, u, prototypes, weight, label):
    """All that is computed at source resolution, of one frame."""
    size, ids = (H, W), jnp.where(label == 255, 0, label)
    ce = jax.value_and_grad(losses.cross_entropy)
    apart = jax.value_and_grad(contrast.contrastive_loss)
    return {
        "cross entropy": ce(z, label, INNER),
        "of logits": ce(z, label, INNER, "logits"),
        "reliability": losses.momentum_reliability(z, size, INNER),
        "contrast": apart(u, prototypes, jnp.ones(O, bool), ids),
        "labels and entropy": inference._label_and_entropy(z, size, INNER),
        "labels": inference._label(z, size, INNER),
        "fused": inference._fuse_branches(z, z_fused, jnp.ones((), bool), size, INNER, 0.8),
    }


def test_losses_and_labels_are_those_of_the_rows(arrays):
    z, weight, label = arrays
    random = np.random.default_rng(1)
    z_fused, u = (jnp.asarray(random.normal(size=(h, w, c)), jnp.float32) for c in (C, 4))
    prototypes = contrast.normalise(jnp.asarray(random.normal(size=(O, 4)), jnp.float32))
    given = z, z_fused, u, prototypes, weight, label.at[0].set(255)
    expected = jax.jit(everything)(*given)
    with compiling_for("tpu"):
        found = jax.jit(lambda *a: everything(*a))(*given)
    for name in expected:
        pairs = zip(jax.tree.leaves(found[name]), jax.tree.leaves(expected[name]), strict=True)
        # the reliability divides rounding by the range of the entropies, a hundredth here
        limit = 2e-5 if name == "reliability" else 2e-6
        for a, b in pairs:
            np.testing.assert_allclose(a, b, rtol=0, atol=limit, err_msg=name)

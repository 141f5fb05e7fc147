import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ditta_jax.algorithm import full_resolution
from ditta_jax.algorithm.full_resolution import (
    map_rows,
    resize_columns,
    row_blocks,
    sum_over_rows,
    transpose_rows,
)
from ditta_jax.students.resize_matrices import chain

h, w, C = 5, 6, 3
INNER = (7, 12)
H, W = 19, 11  # three blocks of eight rows, the last one with three


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(full_resolution, "CACHE_ELEMENTS", 1)
    monkeypatch.setattr(full_resolution, "ROWS", 8)
    monkeypatch.setattr(full_resolution, "COLUMN_TILE", 4)
    with jax.enable_x64(True):
        yield


def columns_of(z):
    return resize_columns(z, w, INNER[1], W)


def blocks():
    return row_blocks((h, INNER[0], H), W, C)


def direct(z):
    """The whole map at source resolution."""
    return jnp.einsum("Hh,Ww,hwc->HcW", chain(h, INNER[0], H), chain(w, INNER[1], W), z)


@pytest.fixture
def arrays():
    random = np.random.default_rng(0)
    z, weight = random.normal(size=(h, w, C)), random.normal(size=(H, W))
    return jnp.asarray(z), jnp.asarray(weight), jnp.asarray(random.integers(0, C, (H, W)))


def pixel_loss(x, weight, label):
    own = jnp.where(label[:, None] == jnp.arange(C)[None, :, None], x, 0.0).sum(1)
    return (weight * (jax.nn.logsumexp(x, 1) - own)).sum()


def ours(z, weight, label):
    return sum_over_rows(pixel_loss, columns_of(z), blocks(), weight, label)


def test_blocks_cut_the_row_matrix():
    cut = blocks()
    assert cut.matrices.shape[:2] == (3, 8) and cut.height == H
    matrix = np.zeros((24, h))
    for i, (block, start) in enumerate(zip(cut.matrices, cut.starts, strict=True)):
        matrix[8 * i : 8 * i + 8, start : start + block.shape[1]] = block
    np.testing.assert_array_equal(matrix[:H], chain(h, INNER[0], H))
    assert (matrix[H:] == 0).all()


def test_blocks_grow_with_the_memory_they_may_use(monkeypatch):
    monkeypatch.setattr(full_resolution, "CACHE_ELEMENTS", 16 * W * C)
    assert blocks().matrices.shape[:2] == (2, 16)
    monkeypatch.setattr(full_resolution, "CACHE_ELEMENTS", 2**21)
    assert blocks().matrices.shape[:2] == (1, H)


def test_columns_are_resized_tile_by_tile(arrays):
    z = arrays[0]
    expected = np.einsum("Ww,hwc->hcW", chain(w, INNER[1], W), z)
    np.testing.assert_allclose(columns_of(z), expected, rtol=0, atol=1e-14)
    np.testing.assert_array_equal(resize_columns(z, w, w), z.swapaxes(1, 2))


def test_map_rows_equals_the_function_of_the_whole_map(arrays):
    z, weight, label = arrays

    def f(x, weight, label):
        return x.argmax(1), weight * jax.nn.logsumexp(x, 1) + label.astype(x.dtype)

    found = jax.jit(lambda z: map_rows(f, columns_of(z), blocks(), weight, label))(z)
    for a, b in zip(found, f(direct(z), weight, label), strict=True):
        assert a.shape == (H, W)
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-13)


def test_sum_over_rows_and_its_gradients_equal_the_direct_sum(arrays):
    z, weight, label = arrays
    slow = jax.value_and_grad(lambda *a: pixel_loss(direct(a[0]), *a[1:]), argnums=(0, 1))
    fast = jax.value_and_grad(ours, argnums=(0, 1))
    expected = jax.jit(slow)(z, weight, label)
    for found in (jax.jit(fast)(z, weight, label), fast(z, weight, label)):  # jit and eager
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)
    np.testing.assert_allclose(jax.jit(ours)(z, weight, label), expected[0], rtol=1e-14)


def test_a_gradient_is_scaled_by_what_comes_from_above(arrays):
    z, weight, label = arrays
    value, once = jax.jit(jax.value_and_grad(ours))(z, weight, label)
    squared = jax.jit(jax.grad(lambda *a: ours(*a) ** 2))(z, weight, label)
    np.testing.assert_allclose(squared, 2 * value * once, rtol=1e-12)


def test_vmap_equals_a_loop(arrays):
    _, weight, label = arrays
    z = jnp.asarray(np.random.default_rng(1).normal(size=(3, h, w, C)))
    one = jax.value_and_grad(ours)
    values, gradients = jax.jit(jax.vmap(one, in_axes=(0, None, None)))(z, weight, label)
    for i, single in enumerate(z):
        value, gradient = jax.jit(one)(single, weight, label)
        np.testing.assert_allclose(values[i], value, rtol=1e-14)
        np.testing.assert_allclose(gradients[i], gradient, rtol=0, atol=1e-14)


def test_transpose_rows_equals_the_transposed_matrix(arrays):
    _, weight, label = arrays

    def masked(weight, label):
        return jnp.where(label[:, None] == jnp.arange(C)[None, :, None], weight[:, None], 0.0)

    found = jax.jit(lambda *p: transpose_rows(masked, blocks(), h, *p))(weight, label)
    expected = np.einsum("Hh,HcW->hcW", chain(h, INNER[0], H), masked(weight, label))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)

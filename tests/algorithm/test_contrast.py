import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ditta_jax.algorithm import contrast, full_resolution
from ditta_jax.algorithm.contrast import Prototypes
from ditta_jax.students.resize_matrices import chain

h, w, D, O = 4, 5, 6, 4
SIZE = (13, 18)
TEMPERATURE = 0.7


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(full_resolution, "CACHE_ELEMENTS", 1)


@pytest.fixture
def double():
    with jax.enable_x64(True):
        yield


def up(x):
    return np.einsum("Hh,Ww,hwc->HWc", chain(h, SIZE[0]), chain(w, SIZE[1]), x)


def unit(x):
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)


def scene(seed=0, spread=1.0):
    """Projections, momentum projections, reliability and ids; object 3 is not in the frame."""
    random = np.random.default_rng(seed)
    centre = random.normal(size=D)
    u, mean_u = (centre + spread * random.normal(size=(h, w, D)) for _ in range(2))
    ids = random.choice([0, 1, 2, 4], SIZE).astype(np.uint8)
    return u, unit(mean_u), random.random(SIZE), ids


def slow_prototypes(u, reliability, ids, memory):
    """Eq. 6 with every feature at source resolution."""
    wide = unit(up(u)) * reliability[..., None]
    vectors = np.array(memory.vectors, np.float64)
    for o in range(1, O + 1):
        if (ids == o).any():
            fresh = unit(wide[ids == o].mean(0))
            vectors[o - 1] = unit((fresh + vectors[o - 1]) / 2) if memory.seen[o - 1] else fresh
    return vectors


def slow_loss(u, prototypes, ids, xp=np):
    """Eq. 7 with every feature at source resolution; differentiable with xp = jax.numpy."""
    if xp is np:
        wide = unit(up(unit(u)))
    else:
        u = u / jnp.linalg.norm(u, axis=-1, keepdims=True)
        wide = jnp.einsum("Hh,Ww,hwc->HWc", chain(h, SIZE[0]), chain(w, SIZE[1]), u)
        wide = wide / jnp.linalg.norm(wide, axis=-1, keepdims=True)
    shown = [o for o in range(1, O + 1) if (ids == o).any()]
    similarity = wide @ prototypes[np.array(shown) - 1].T / TEMPERATURE
    log_sum = xp.log(xp.exp(similarity).sum(-1))
    total = 0.0
    for place, o in enumerate(shown):
        total = total + xp.where(ids == o, log_sum - similarity[..., place], 0.0).sum()
    return total / ids.size


def empty_memory(dtype=np.float64):
    return Prototypes(jnp.zeros((O, D), dtype), jnp.zeros(O, bool))


def test_upsampled_norm_equals_the_norm_of_the_upsampled(double):
    u = scene()[0]
    for size in (SIZE, (h, w), (4, 11), (2, 3)):
        wide = np.einsum("Hh,Ww,hwc->HWc", chain(h, size[0]), chain(w, size[1]), u)
        found = jax.jit(contrast.upsampled_norm, static_argnums=1)(jnp.asarray(u), size)
        np.testing.assert_allclose(found, np.linalg.norm(wide, axis=-1), rtol=1e-13)


def test_prototypes_equal_means_over_the_objects_pixels_and_are_averaged_with_memory(double):
    update = jax.jit(contrast.object_prototypes)
    memory = empty_memory()
    for seed in range(3):
        _, u, reliability, ids = scene(seed)
        if seed == 1:
            ids[ids == 2] = 0
        expected = slow_prototypes(u, reliability, ids, memory)
        memory, present = update(jnp.asarray(u), jnp.asarray(reliability), ids, memory)
        np.testing.assert_allclose(memory.vectors, expected, rtol=0, atol=1e-13)
        assert present.tolist() == [True, seed != 1, False, True]
        assert memory.seen.tolist() == [True, True, False, True]


def test_a_frame_without_objects_leaves_the_memory_and_gives_no_loss(double):
    u, mean_u, reliability, ids = scene()
    memory, _ = contrast.object_prototypes(mean_u, reliability, ids, empty_memory())
    nothing = np.zeros_like(ids)
    after, present = jax.jit(contrast.object_prototypes)(mean_u, reliability, nothing, memory)
    np.testing.assert_array_equal(after.vectors, memory.vectors)
    np.testing.assert_array_equal(after.seen, memory.seen)
    assert not present.any()
    value, gradient = jax.jit(
        jax.value_and_grad(lambda u: contrast.contrastive_loss(u, memory.vectors, present, nothing))
    )(jnp.asarray(u))
    assert value == 0 and (gradient == 0).all()


def test_loss_and_gradient_equal_the_direct_ones(double):
    u, mean_u, reliability, ids = scene()
    prototypes = slow_prototypes(mean_u, reliability, ids, empty_memory())
    present = np.array([(ids == o).any() for o in range(1, O + 1)])
    assert present.tolist() == [True, True, False, True]

    def ours(u):
        return contrast.contrastive_loss(u, jnp.asarray(prototypes), present, ids, TEMPERATURE)

    value, gradient = jax.jit(jax.value_and_grad(ours))(jnp.asarray(u))
    np.testing.assert_allclose(value, slow_loss(u, prototypes, ids), rtol=1e-13)
    slow = jax.jit(jax.grad(lambda u: slow_loss(u, prototypes, ids, jnp)))(jnp.asarray(u))
    np.testing.assert_allclose(gradient, slow, rtol=0, atol=1e-14)


def test_objects_that_the_frame_does_not_show_are_no_alternatives(double):
    u, mean_u, reliability, ids = scene()
    prototypes = slow_prototypes(mean_u, reliability, ids, empty_memory())
    present = np.array([True, True, False, True])
    loss = jax.jit(contrast.contrastive_loss)
    before = loss(u, prototypes, present, ids)
    prototypes[2] = 1e3
    np.testing.assert_array_equal(loss(u, prototypes, present, ids), before)


def test_zero_vectors_have_a_finite_gradient():
    x = jnp.zeros((2, 3))
    value, gradient = jax.value_and_grad(lambda x: contrast.normalise(x).sum())(x)
    assert value == 0 and jnp.isfinite(gradient).all()


def test_nearly_parallel_features_lose_no_more_digits_than_the_direct_evaluation():
    """Root mean square against double precision, over ten draws, both in single precision."""

    def direct(u, mean_u, reliability, ids):
        rows = jnp.asarray(chain(h, SIZE[0]), jnp.float32)
        columns = jnp.asarray(chain(w, SIZE[1]), jnp.float32)

        def wide(x):
            x = jnp.einsum("Ww,Hwc->HWc", columns, jnp.einsum("Hh,hwc->Hwc", rows, x))
            return x * jax.lax.rsqrt((x * x).sum(-1, keepdims=True))

        own = ids[..., None] == jnp.arange(1, O + 1, dtype=ids.dtype)[None, None]
        weighted = wide(mean_u) * reliability[..., None]
        prototypes = contrast.normalise(jnp.einsum("HWo,HWd->od", own.astype(u.dtype), weighted))
        similarity = wide(contrast.normalise(u)) @ prototypes.T / TEMPERATURE
        similarity = jnp.where(own.any((0, 1), keepdims=True), similarity, -1e30)
        loss = jax.nn.logsumexp(similarity, -1) - jnp.where(own, similarity, 0.0).sum(-1)
        return jnp.where(ids > 0, loss, 0.0).sum() / ids.size

    def ours(u, mean_u, reliability, ids):
        memory, present = contrast.object_prototypes(
            mean_u, reliability, ids, empty_memory(u.dtype)
        )
        return contrast.contrastive_loss(u, memory.vectors, present, ids, TEMPERATURE)

    errors = {"ours": [], "direct": []}
    methods = {"ours": jax.jit(ours), "direct": jax.jit(direct)}
    for seed in range(10):
        u, mean_u, reliability, ids = scene(seed, spread=1e-3)
        u, mean_u, reliability = (a.astype(np.float32) for a in (u, mean_u, reliability))
        exact_u, exact_mean, exact_rho = (a.astype(np.float64) for a in (u, mean_u, reliability))
        nothing = Prototypes(np.zeros((O, D)), np.zeros(O, bool))
        prototypes = slow_prototypes(exact_mean, exact_rho, ids, nothing)
        exact = slow_loss(exact_u, prototypes, ids)
        for name, method in methods.items():
            errors[name].append(float(method(u, mean_u, reliability, ids)) - exact)
    rms = {name: np.sqrt(np.mean(np.square(e))) for name, e in errors.items()}
    assert rms["ours"] <= rms["direct"] * 1.05, rms

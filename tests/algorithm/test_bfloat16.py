"""Activations in bfloat16: what stays in float32 does, and results are near those of float32.

What is in which type is read off the traced programs. How near results are follows from how far
the logits z move, which is measured: Δ = max |z_bfloat16 − z_float32|.
- Labels: the argmax of a pixel can only change where its two highest logits are within 2Δ.
- Cross entropy of probabilities p = softmax(z): |∂p_i| ≤ 2 p_i (1 − p_i) Δ ≤ Δ/2, and the slope of
  −log softmax(p)_y in p sums to at most 2, so that a pixel's term moves by at most its own Δ, and
  their mean by at most the mean.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ditta_jax.algorithm import adaptation, inference, precision
from ditta_jax.algorithm.adaptation import AdaptationSettings, TaughtFrames
from ditta_jax.algorithm.model import Model, take_apart
from ditta_jax.algorithm.optimiser import Hyperparameters
from ditta_jax.benchmark import programs
from ditta_jax.benchmark.workload import Size
from ditta_jax.students.parts import join_student
from ditta_jax.students.resize import bilinear
from ditta_jax.students.segformer.config import SegFormerConfig
from ditta_jax.students.student import new_student

NARROW = jnp.dtype("bfloat16")
CONFIG = SegFormerConfig(
    3, (3, 4, 4, 5), (1, 1, 1, 1), (1, 1, 1, 1), (8, 4, 2, 1), 1, embed_dim=6, radius=1
)

# What may have bfloat16 operands: sums and products that nothing cancels in, and moving about.
SUMS_AND_PRODUCTS = {"dot_general", "conv_general_dilated", "add", "add_any", "mul", "reduce_sum"}
ACTIVATIONS = {"max", "gt", "erfc", "neg", "select_n"}  # ReLU; GELU; both backward
MOVES = {
    *("broadcast_in_dim", "reshape", "transpose", "squeeze", "slice", "split", "stack", "pad"),
    *("concatenate", "dynamic_slice", "dynamic_update_slice", "copy", "convert_element_type"),
    "stop_gradient",
}
# Keys less their mean, which makes them smaller before they are rounded again.
CENTRING = {"sub"}
# Where no operand is bfloat16, whatever the operation.
WIDE = {"batch_norm", "labels", "fuse_branches", "cross_entropy", "reliability", "prototypes"} | {
    *("upsampled_norm", "contrastive_loss", "optimiser"),
}


def operations(jaxpr, scope=""):
    """Every operation of a program, inner programs included, with its scope."""
    for equation in jaxpr.eqns:
        own = f"{scope}/{equation.source_info.name_stack}"
        inner = [p for p in jax.tree.leaves(list(equation.params.values()), is_leaf=is_program)]
        inner = [getattr(p, "jaxpr", p) for p in inner if is_program(p)]
        for program in inner:
            yield from operations(program, own)
        if not inner:
            yield equation, own


def is_program(x):
    return hasattr(x, "jaxpr") or hasattr(x, "eqns")


def is_narrow(variable):
    return getattr(variable.aval, "dtype", None) == NARROW


@pytest.fixture(scope="module", params=programs.PROGRAMS)
def traced(request):
    """A program with activations in bfloat16, products as fast as the device likes."""
    size = Size("tiny", 35, 51, 3, 4, 3)
    with precision.policy("bfloat16", "default"):
        program = programs.traced(request.param, programs.shapes(size, "bfloat16", CONFIG))
    return list(operations(program.jaxpr.jaxpr))


def test_norms_logits_losses_and_labels_are_computed_in_float32(traced):
    found = [(op, scope) for op, scope in traced if any(map(is_narrow, op.invars))]
    assert found
    for op, scope in found:
        allowed = SUMS_AND_PRODUCTS | ACTIVATIONS | MOVES
        if "query_and_key" in scope:
            allowed = allowed | CENTRING
        assert op.primitive.name in allowed, f"{op.primitive.name} in {scope}"
        assert not any(wide in scope for wide in WIDE), f"{op.primitive.name} in {scope}"


def test_logits_and_similarities_are_products_that_nothing_rounds(traced):
    """The fast products of accelerators round float32 operands; these state that they must not."""
    full = (jax.lax.Precision.HIGHEST,) * 2
    wide = WIDE | {"classifier", "window_attention"}
    seen = set()
    for op, scope in traced:
        if op.primitive.name == "dot_general" and (place := [w for w in wide if w in scope]):
            assert op.params["precision"] == full, scope
            # backward, a product ends in the type of what it is the gradient of
            assert op.outvars[0].aval.dtype == np.float32 or "transpose" in scope
            seen |= set(place)
    assert "classifier" in seen


def test_resizing_is_in_float32():
    with precision.policy("bfloat16", "default"):
        x = jax.ShapeDtypeStruct((4, 5, 3), NARROW)
        program = jax.make_jaxpr(functools.partial(bilinear, size=(9, 11)))(x)
    products = [op for op, _ in operations(program.jaxpr) if op.primitive.name == "dot_general"]
    assert len(products) == 2
    for op in products:
        assert {v.aval.dtype for v in (*op.invars, *op.outvars)} == {np.dtype("float32")}
        assert op.params["precision"] == (jax.lax.Precision.HIGHEST,) * 2


INPUT, SIZE, T, O = (32, 64), (43, 71), 3, 3
ROUNDING = 2.0**-9  # of one number to bfloat16, relative
# A frame is rounded some 64 times in a row until it is a logit; such errors add as a random walk.
LOGITS = 64**0.5 * ROUNDING


@pytest.fixture(scope="module")
def frames():
    """Patches of one colour."""
    coarse = np.random.default_rng(0).normal(size=(T, 4, 8, 3)).astype(np.float32)
    return coarse.repeat(INPUT[0] // 4, 1).repeat(INPUT[1] // 8, 2)


class Seen(NamedTuple):
    """What a student says of frames, with activations in one type; z: alone, and in training."""

    model: Model
    features: tuple
    z: np.ndarray
    z_trained: np.ndarray
    plain: np.ndarray
    fused: np.ndarray


def look(frames, compute):
    student = new_student(CONFIG, seed=3)
    # wide apart, so that most pixels are sure of their class
    student.decoder.classifier.kernel[...] = student.decoder.classifier.kernel[...] * 10
    model = take_apart(student, compute)
    parts = model.graph, model.encoder, model.network
    features = inference.encode(*parts, jnp.asarray(frames, compute))
    plain = inference.label_plain(*parts, features, SIZE, INPUT).label

    @jax.jit
    def one(features, previous):
        own = join_student(*parts)
        z = own.classify(own.embed(jax.tree.map(lambda x: x[None], features)))
        trained = own.classify(own.embed(jax.tree.map(lambda x: x[None], features), jnp.ones(1)))
        own = join_student(*parts)
        return z, trained, inference.fuse_frame(own, previous, features, SIZE, INPUT, 0.8)

    first = jax.tree.map(lambda x: x[0], features)
    previous = inference.previous_frame(*parts, first, False)
    found = []
    for t in range(T):
        z, trained, (previous, label) = one(jax.tree.map(lambda x, t=t: x[t], features), previous)
        found.append((z[0], trained[0], label))
    z, trained, fused = (np.stack([np.asarray(x) for x in own]) for own in zip(*found, strict=True))
    return Seen(model, features, z, trained, np.asarray(plain), fused)


@pytest.fixture(scope="module")
def both(frames):
    return [look(frames, compute) for compute in ("float32", "bfloat16")]


def test_logits_are_as_near_as_their_roundings_let_them_be(both):
    exact, narrow = both
    for one, other in ((exact.z, narrow.z), (exact.z_trained, narrow.z_trained)):
        assert one.dtype == other.dtype == np.float32
        assert 0 < abs(one - other).max() <= LOGITS * abs(one).max()


def test_labels_differ_only_where_the_student_is_undecided(both):
    exact, narrow = both
    highest = np.sort(bilinear(bilinear(exact.z, INPUT), SIZE), axis=-1)
    decided = highest[..., -1] - highest[..., -2] > 2 * abs(exact.z - narrow.z).max()
    assert (exact.plain == narrow.plain)[decided].all()
    assert decided.mean() >= 0.9
    assert (exact.plain == narrow.plain).mean() >= 0.99
    # mixed with the fused branch where the reliability, rounded too, is below τ
    assert (exact.fused == narrow.fused).mean() >= 0.98
    assert len(np.unique(exact.plain)) == CONFIG.num_classes


def adapt(seen):
    """Losses of two passes over the frames."""
    random = np.random.default_rng(1)
    labels = random.choice([0, 1, 2, 255], (T, *SIZE)).astype(np.uint8)
    ids = random.integers(0, O + 1, (T, *SIZE)).astype(np.uint8)
    warm_up = TaughtFrames(seen.features, jnp.asarray(labels), jnp.asarray(ids), jnp.ones(T, bool))
    state = adaptation.new_state(seen.model.network, O, jax.random.key(0))
    hyper = Hyperparameters(*map(jnp.asarray, Hyperparameters(eps=1e-4)))
    settings = AdaptationSettings(INPUT, dropout=0.0)
    parts = seen.model.graph, seen.model.encoder
    state, losses = adaptation.adapt(state, *parts, warm_up, hyper, settings, 2)
    return state, jax.tree.map(np.asarray, losses)


def test_losses_of_adaptation_are_those_of_float32(both):
    (exact_state, exact), (narrow_state, narrow) = map(adapt, both)
    moved = abs(both[0].z_trained[0] - both[1].z_trained[0]).max(-1).mean()
    assert abs(exact.distill[0] - narrow.distill[0]) <= moved
    assert exact.gradient_norm is narrow.gradient_norm is None  # not asked for
    for name, one, other in zip(exact._fields[:-1], exact[:-1], narrow[:-1], strict=True):
        assert one.dtype == other.dtype == np.float32
        # means over pixels, whose errors differ in sign: nearer than bfloat16 tells numbers apart
        np.testing.assert_allclose(other, one, rtol=ROUNDING / 4, err_msg=name)
    # both learn: what the second pass gains is the same to a tenth
    gains = [x.total[:T] - x.total[T:] for x in (exact, narrow)]
    assert (gains[0] > 0).all()
    np.testing.assert_allclose(gains[1], gains[0], rtol=0.1)
    for state in (exact_state, narrow_state):
        kept = (state.live, state.momentum, state.prototypes.vectors)
        assert {x.dtype for x in jax.tree.leaves(kept)} == {np.dtype("float32")}

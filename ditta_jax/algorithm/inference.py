"""Stages A and D: label frames with the frozen student, and segment the video after adaptation.

The encoder sees each frame once. What a frame needs of the one before it, its embedding and its
logits, is the carry of a scan; probabilities exist for one block of rows at a time.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, PyTree, UInt8

from ditta_jax.algorithm.adaptation import map_settings
from ditta_jax.algorithm.full_resolution import map_rows, resize_columns, row_blocks
from ditta_jax.students.parts import Adaptable, join_student


class PlainLabels(NamedTuple):
    """What the frozen student says of frames (stage A).

    Attributes:
        label: UInt8[Array, "T H W"], argmax of the plain branch.
        reliability: Float[Array, "T H W"], R of Eq. 2, in [0, 1].
    """

    label: UInt8[Array, "T H W"]
    reliability: Float[Array, "T H W"]


class PreviousFrame(NamedTuple):
    """What stage D carries from frame to frame.

    Attributes:
        f: Float[Array, "h w D"], embedding.
        z: Float[Array, "h w C"], plain logits.
        exists: False before the first frame of a video.
    """

    f: Float[Array, "h w D"]
    z: Float[Array, "h w C"]
    exists: Bool[Array, ""]


@functools.partial(jax.jit, static_argnames="graph")
def encode(
    graph: nnx.GraphDef, encoder: nnx.State, network: Adaptable, frames: Float[Array, "T Hi Wi 3"]
) -> PyTree[Float[Array, "T _h _w _c"]]:
    """Encoder features of frames in evaluation mode, frame by frame."""
    student = join_student(graph, encoder, network)
    return jax.lax.map(functools.partial(_encode, student), frames)


@functools.partial(jax.jit, static_argnames=("graph", "size", "input_size"))
def label_plain(
    graph: nnx.GraphDef,
    encoder: nnx.State,
    network: Adaptable,
    features: PyTree,
    size: tuple[int, int],
    input_size: tuple[int, int],
) -> PlainLabels:
    """Stage A: label and reliability of the plain branch for frames of features [T, h, w, c]."""
    student = join_student(graph, encoder, network)

    @jax.named_scope("stage_a")
    def one(features):
        _, z = _embed(student, features)
        label, E = _label_and_entropy(z, size, input_size)
        return PlainLabels(label, _reliability(E))

    return jax.lax.map(one, features)


@functools.partial(jax.jit, static_argnames="graph")
def previous_frame(
    graph: nnx.GraphDef, encoder: nnx.State, network: Adaptable, features: PyTree, exists: bool
) -> PreviousFrame:
    """The carry after a frame of features [h, w, c]; with `exists` False a mere placeholder."""
    student = join_student(graph, encoder, network)
    f, z = _embed(student, features)
    return PreviousFrame(f, z, jnp.asarray(exists))


@functools.partial(
    jax.jit,
    static_argnames=("graph", "size", "threshold", "attention"),
    donate_argnames="previous",
)
def segment(
    graph: nnx.GraphDef,
    encoder: nnx.State,
    network: Adaptable,
    frozen: Adaptable | None,
    previous: PreviousFrame,
    frames: Float[Array, "T Hi Wi 3"],
    size: tuple[int, int],
    threshold: float,
    attention: str = "tiles",
) -> tuple[PreviousFrame, UInt8[Array, "T H W"], UInt8[Array, "T H W"] | None]:
    """Stage D on consecutive frames, and the unadapted student on the same features.

    Args:
        graph: structure of the student.
        encoder: its encoder.
        network: adapted decoder and fusion.
        frozen: decoder before adaptation; None leaves its labels out.
        previous: carry of the frame before; donated.
        frames: normalised frames.
        size: (H, W) of the labels.
        threshold: τ of Eq. 3.
        attention: program of the fusion's attention: "tiles" or "pallas".

    Returns:
        the carry, the adapted model's labels, the frozen student's labels (None without it).
    """
    fixed = (size, threshold, attention)
    return _segment(graph, encoder, network, frozen, previous, frames, *fixed, lambda f, x: f(x))


@functools.partial(
    jax.jit,
    static_argnames=("graph", "size", "threshold", "attention"),
    donate_argnames="previous",
)
def segment_under_settings(
    graph: nnx.GraphDef,
    encoder: nnx.State,
    network: Adaptable,
    frozen: Adaptable,
    previous: PreviousFrame,
    frames: Float[Array, "T Hi Wi 3"],
    size: tuple[int, int],
    threshold: float,
    attention: str = "tiles",
) -> tuple[PreviousFrame, UInt8[Array, "T K H W"], UInt8[Array, "T H W"]]:
    """`segment` with K adapted networks on the same encoder features.

    `network` and `previous` have a leading K, and so has the carry that is returned.
    """
    fixed = (size, threshold, attention)
    return _segment(graph, encoder, network, frozen, previous, frames, *fixed, map_settings)


def _segment(graph, encoder, network, frozen, previous, frames, size, threshold, attention, each):
    """Stage D; `each` applies a function to one adapted network and its carry, or to K of them."""
    baseline = join_student(graph, encoder, network if frozen is None else frozen)
    input_size = frames.shape[1:3]

    @jax.named_scope("stage_d")
    def step(previous, frame):
        features = _encode(baseline, frame)

        def adapted(own):
            network, previous = own
            student = join_student(graph, encoder, network)
            adapts = "encoder" in network.params  # else the encoder is the same in all networks
            f, z = _embed(student, _encode(student, frame) if adapts else features)
            z_fused = _wide(student.fusion(f, previous.f, previous.z, attention))
            label = _fuse_branches(z, z_fused, previous.exists, size, input_size, threshold)
            current = PreviousFrame(f, z.astype(previous.z.dtype), jnp.ones_like(previous.exists))
            return current, label

        current, label = each(adapted, (network, previous))
        frozen_label = None
        if frozen is not None:
            frozen_label = _label(_embed(baseline, features)[1], size, input_size)
        return current, (label, frozen_label)

    previous, (labels, frozen_labels) = jax.lax.scan(step, previous, frames)
    return previous, labels, frozen_labels


@functools.partial(jax.jit, static_argnames=("graph", "size"))
def segment_plain(
    graph: nnx.GraphDef,
    encoder: nnx.State,
    network: Adaptable,
    frames: Float[Array, "T Hi Wi 3"],
    size: tuple[int, int],
) -> UInt8[Array, "T H W"]:
    """The image model alone: argmax of the plain branch, frame by frame."""
    student = join_student(graph, encoder, network)

    def one(frame):
        _, z = _embed(student, _encode(student, frame))
        return _label(z, size, frames.shape[1:3])

    return jax.lax.map(one, frames)


def _encode(student, frame):
    """Features of one frame in evaluation mode."""
    return jax.tree.map(lambda x: x[0], student.encode(frame[None]))


def _embed(student, features):
    """Embedding and plain logits of one frame in evaluation mode."""
    f = student.embed(jax.tree.map(lambda x: x[None], features))
    return f[0], _wide(student.classify(f)[0])


def _wide(x: Array) -> Array:
    """Logits are compared and resized in float32 at least."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _columns_and_blocks(z, size, input_size):
    columns = resize_columns(z, z.shape[1], input_size[1], size[1])
    return columns, row_blocks((z.shape[0], input_size[0], size[0]), size[1], z.shape[2])


@jax.named_scope("labels")
def _label(z, size, input_size):
    """Argmax of Up(z) per pixel."""
    return map_rows(_argmax, *_columns_and_blocks(z, size, input_size))


@jax.named_scope("labels")
def _label_and_entropy(z, size, input_size):
    """Argmax and entropy (nat) of softmax(Up(z)) per pixel."""
    columns, blocks = _columns_and_blocks(z, size, input_size)
    return map_rows(lambda x: (_argmax(x), _entropy_of_logits(x)[0]), columns, blocks)


def _argmax(x: Float[Array, "rows C W"]) -> UInt8[Array, "rows W"]:
    """First class that has the maximum: two plain reductions, which are faster than `argmax`."""
    classes = jnp.arange(x.shape[1], dtype=jnp.uint8)[:, None]
    return jnp.where(x == x.max(1, keepdims=True), classes, jnp.uint8(255)).min(1)


def _entropy_of_logits(
    x: Float[Array, "rows C W"],
) -> tuple[Float[Array, "rows W"], Float[Array, "rows W"]]:
    """Entropy of softmax(x), and log Σ exp(x).

    log Z − Σ p (x − max), so that p = 0 adds 0 without a logarithm.
    """
    highest = x.max(1)
    shifted = x - highest[:, None]
    e = jnp.exp(shifted)
    Z = e.sum(1)
    return jnp.log(Z) - (e * shifted).sum(1) / Z, highest + jnp.log(Z)


def _reliability(E: Float[Array, "H W"]) -> Float[Array, "H W"]:
    """R = 1 − E / max E over the frame (Eq. 2); 1 everywhere where no pixel has entropy.

    As (max E − E) / max E: where E is near its maximum the difference is exact, 1 − E / max E not.
    """
    peak = E.max()
    return jnp.where(peak > 0, (peak - E) / jnp.where(peak > 0, peak, 1.0), 1.0)


@jax.named_scope("fuse_branches")
def _fuse_branches(z, z_fused, exists, size, input_size, threshold):
    """Eq. 3: where R_0 < τ, the argmax of R_0 p_plain + R_1 p_fused, elsewhere of p_plain.

    Two sweeps, since R needs the highest entropy of the frame. The second takes from the first
    what normalises: R p = exp(x − (log Σ exp(x) − log R)).
    """
    C = z.shape[2]
    both = jnp.concatenate([z, z_fused], axis=-1)
    columns, blocks = _columns_and_blocks(both, size, input_size)

    def entropies(x):
        return _entropy_of_logits(x[:, :C]), _entropy_of_logits(x[:, C:])

    (E_plain, norm_plain), (E_fused, norm_fused) = map_rows(entropies, columns, blocks)
    R_plain, R_fused = _reliability(E_plain), _reliability(E_fused)
    neither = (R_plain + R_fused) == 0  # the released program yields NaN; take the mean
    shift_plain, shift_fused = (
        norm - jnp.log(jnp.where(neither, 1.0, R))
        for norm, R in ((norm_plain, R_plain), (norm_fused, R_fused))
    )

    def label(x, shift_plain, shift_fused, mixes):
        plain, fused = x[:, :C], x[:, C:]
        mixed = jnp.exp(plain - shift_plain[:, None]) + jnp.exp(fused - shift_fused[:, None])
        return _argmax(jnp.where(mixes[:, None], mixed, plain))

    mixes = exists & (R_plain < threshold)
    return map_rows(label, columns, blocks, shift_plain, shift_fused, mixes)

"""Stages A and D: label frames with the frozen student, and segment the video after adaptation.

The encoder sees each frame once. What a frame needs of the one before it, its embedding and its
logits, is the carry of a scan (`methods.stream`); probabilities exist for one block of pixels at
a time.
"""

import functools
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, PyTree, UInt8

from ditta_jax.algorithm.pixels import map_pixels, resizing
from ditta_jax.algorithm.video_mesh import each_video
from ditta_jax.students.parts import Adaptable, join_student
from ditta_jax.students.sizes import MEAN, STD
from ditta_jax.students.student import Student


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


@functools.partial(jax.jit, static_argnames="compute")
def normalised(images: UInt8[Array, "*T Hi Wi 3"], compute: str) -> Float[Array, "*T Hi Wi 3"]:
    """The encoder's input, in `compute`: bit for bit what `data.preprocess.normalise` makes.

    Frames go to the device as bytes, a quarter of their size in float32.
    """
    mean, std = (jnp.broadcast_to(jnp.array(x, jnp.float32), images.shape) for x in (MEAN, STD))
    # By what it knows a compiler divides as by its reciprocal, which rounds otherwise.
    std = jax.lax.optimization_barrier(std)
    return ((images.astype(jnp.float32) - mean) / std).astype(compute)


@functools.partial(jax.jit, static_argnames="graph")
def encode(
    graph: nnx.GraphDef, encoder: nnx.State, network: Adaptable, frames: Float[Array, "T Hi Wi 3"]
) -> PyTree[Float[Array, "T _h _w _c"]]:
    """Encoder features of frames in evaluation mode, frame by frame."""
    student = join_student(graph, encoder, network)
    return jax.lax.map(functools.partial(encode_frame, student), frames)


@functools.partial(jax.jit, static_argnames=("graph", "mesh"))
def encode_videos(
    graph: nnx.GraphDef,
    encoder: nnx.State,
    network: Adaptable,
    frames: Float[Array, "V T Hi Wi 3"],
    mesh: Mesh,
) -> PyTree[Float[Array, "V T _h _w _c"]]:
    """`encode` for V videos, spread over the devices of a mesh that all have the weights."""

    def one(frames, encoder, network):
        return encode(graph, encoder, network, frames)

    return each_video(one, mesh, shared=2)(frames, encoder, network)


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


class ImageModel(Protocol):
    """What labels a frame by itself: a student, or one whose norms are seen to otherwise."""

    def embed(self, features: PyTree, /) -> Float[Array, "1 h w D"]:
        """The embedding f."""

    def classify(self, f: Float[Array, "1 h w D"], /) -> Float[Array, "1 h w C"]:
        """Logits z."""


def label_frame(
    student: ImageModel, features: PyTree, size: tuple[int, int], input_size: tuple[int, int]
) -> UInt8[Array, "H W"]:
    """The image model alone: argmax of the plain branch of a frame of features [h, w, c]."""
    return _label(_embed(student, features)[1], size, input_size)


def fuse_frame(
    student: Student,
    previous: PreviousFrame,
    features: PyTree,
    size: tuple[int, int],
    input_size: tuple[int, int],
    threshold: float,
) -> tuple[PreviousFrame, UInt8[Array, "H W"]]:
    """Stage D on one frame, the body of a scan over the video.

    Args:
        student: adapted.
        previous: of the frame before.
        features: of the frame, [h, w, c].
        size: (H, W) of the labels.
        input_size: (Hi, Wi).
        threshold: τ of Eq. 3.

    Returns:
        what the next frame needs of this one, and the labels.
    """
    f, z = _embed(student, features)
    z_fused = student.fusion(f, previous.f, previous.z)
    label = _fuse_branches(z, z_fused, previous.exists, size, input_size, threshold)
    return PreviousFrame(f, z.astype(previous.z.dtype), jnp.ones_like(previous.exists)), label


def encode_frame(student: Student, frame: Float[Array, "Hi Wi 3"]) -> PyTree:
    """Features [h, w, c] of one frame in evaluation mode."""
    return jax.tree.map(lambda x: x[0], student.encode(frame[None]))


def _embed(student, features):
    """Embedding and plain logits of one frame in evaluation mode."""
    f = student.embed(jax.tree.map(lambda x: x[None], features))
    return f[0], student.classify(f)[0]


@jax.named_scope("labels")
def _label(z, size, input_size):
    """Argmax of Up(z) per pixel."""
    return map_pixels(_argmax, (z,), resizing(z, input_size, size))


@jax.named_scope("labels")
def _label_and_entropy(z, size, input_size):
    """Argmax and entropy (nat) of softmax(Up(z)) per pixel."""

    def both(x):
        return _argmax(x), _entropy_of_logits(x)[0]

    return map_pixels(both, (z,), resizing(z, input_size, size))


def _argmax(x: Float[Array, "a C b"]) -> UInt8[Array, "a b"]:
    """First class that has the maximum: two plain reductions, which are faster than `argmax`."""
    classes = jnp.arange(x.shape[1], dtype=jnp.uint8)[None, :, None]
    return jnp.where(x == x.max(1, keepdims=True), classes, jnp.uint8(255)).min(1)


def _entropy_of_logits(
    x: Float[Array, "a C b"],
) -> tuple[Float[Array, "a b"], Float[Array, "a b"]]:
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
    both, through = (z, z_fused), resizing(z, input_size, size)

    def entropies(plain, fused):
        return _entropy_of_logits(plain), _entropy_of_logits(fused)

    (E_plain, norm_plain), (E_fused, norm_fused) = map_pixels(entropies, both, through)
    R_plain, R_fused = _reliability(E_plain), _reliability(E_fused)
    neither = (R_plain + R_fused) == 0  # the released program yields NaN; take the mean
    shift_plain, shift_fused = (
        norm - jnp.log(jnp.where(neither, 1.0, R))
        for norm, R in ((norm_plain, R_plain), (norm_fused, R_fused))
    )

    def label(plain, fused, shift_plain, shift_fused, mixes):
        mixed = jnp.exp(plain - shift_plain[:, None]) + jnp.exp(fused - shift_fused[:, None])
        return _argmax(jnp.where(mixes[:, None], mixed, plain))

    mixes = exists & (R_plain < threshold)
    return map_pixels(label, both, through, shift_plain, shift_fused, mixes)

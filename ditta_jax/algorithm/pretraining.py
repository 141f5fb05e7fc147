"""Losses of the training on labels: of stills, and of clips, from which the fusion learns too."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray, UInt8

from ditta_jax.labels import IGNORE
from ditta_jax.students.layers import channel_dropout
from ditta_jax.students.resize import bilinear
from ditta_jax.students.student import Student


def loss_of_stills(
    student: Student,
    frames: Float[Array, "b H W 3"],
    labels: UInt8[Array, "b H W"],
    key: PRNGKeyArray,
    stochastic_depth: float,
    dropout: float,
) -> Float[Array, ""]:
    """Mean cross entropy over labelled pixels in training mode; the student remembers the batch."""
    _, z = _in_training(student, frames, key, stochastic_depth, dropout)
    return mean_cross_entropy(z, labels)


def loss_of_clips(
    student: Student,
    frames: Float[Array, "b 2 H W 3"],
    labels: UInt8[Array, "b H W"],
    key: PRNGKeyArray,
    stochastic_depth: float,
    dropout: float,
) -> Float[Array, ""]:
    """The same of both branches of a clip's second frame: CE(z) + CE(z̃), as in Eq. 8."""
    b = len(frames)
    every = frames.reshape(2 * b, *frames.shape[2:])
    f, z = (
        x.reshape(b, 2, *x.shape[1:])
        for x in _in_training(student, every, key, stochastic_depth, dropout)
    )
    fused = jax.vmap(student.fusion)(f[:, 1], f[:, 0], z[:, 0])
    return mean_cross_entropy(z[:, 1], labels) + mean_cross_entropy(fused, labels)


def mean_cross_entropy(
    z: Float[Array, "b h w C"], labels: UInt8[Array, "b H W"]
) -> Float[Array, ""]:
    """Cross entropy of resized logits, mean over labelled pixels."""
    z = bilinear(z, (labels.shape[1], labels.shape[2]))
    valid = labels != IGNORE
    losses = optax.softmax_cross_entropy_with_integer_labels(z, jnp.where(valid, labels, 0))
    labelled = valid.astype(losses.dtype)
    return (losses * labelled).sum() / jnp.maximum(labelled.sum(), 1)


def _in_training(student, frames, key, stochastic_depth, dropout):
    """Embeddings and logits of frames whose batch statistics the student remembers."""
    depth_key, dropout_key = jax.random.split(key)
    weight = jnp.ones(len(frames))
    f = student.embed(student.encode(frames, depth_key, stochastic_depth, weight), weight)
    keep = channel_dropout(dropout_key, len(frames), f.shape[-1], dropout)
    return f, student.classify(f, keep).astype(jnp.float32)

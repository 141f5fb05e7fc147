"""The student: encoder, decoder and temporal fusion in one module, whatever its family."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from flax.nnx import traversals
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from ditta_jax.students.families import family_of
from ditta_jax.students.fusion import TemporalFusion
from ditta_jax.students.initialisation import fresh_leaf
from ditta_jax.students.protocol import StudentConfig
from ditta_jax.students.sizes import MEAN, STD
from ditta_jax.students.wide import wide_dtype


class Student(nnx.Module):
    """An image segmentation model with DiTTA's projection head and temporal fusion module."""

    def __init__(self, config: StudentConfig, rngs: nnx.Rngs):
        """Build all parts with fresh weights."""
        family = family_of(config)
        self.encoder = family.encoder(config, rngs)
        self.decoder = family.decoder(config, rngs)
        self.fusion = TemporalFusion(config, rngs)
        self.config = config

    @jax.named_scope("encoder")
    def encode(
        self,
        frames: Float[Array, "b Hi Wi 3"],
        key: PRNGKeyArray | None = None,
        stochastic_depth: float = 0.0,
        weight: Float[Array, " b"] | None = None,
    ) -> PyTree[Float[Array, "b _h _w _c"]]:
        """Features of frames (`protocol.Encoder`), which are normalised by ImageNet's numbers."""
        return self.encoder(self._renormalised(frames), key, stochastic_depth, weight)

    def _renormalised(self, frames: Float[Array, "b Hi Wi 3"]) -> Float[Array, "b Hi Wi 3"]:
        """Frames by the student's own mean and deviation, where these are not ImageNet's.

        Here and not where frames are read, so that whatever reads frames need not know the student.
        """
        own = self.config.mean, self.config.std
        if own == (MEAN, STD):
            return frames
        dtype = wide_dtype(frames)
        mean, std = (np.array(values)[None, None, None] for values in own)
        factor, shift = np.array(STD) / std, (np.array(MEAN) - mean) / std
        renormalised = frames.astype(dtype) * jnp.asarray(factor, dtype) + jnp.asarray(shift, dtype)
        return renormalised.astype(frames.dtype)

    def embed(
        self, features: PyTree, weight: Float[Array, " b"] | None = None
    ) -> Float[Array, "b h w D"]:
        """Embedding f of features (`protocol.Decoder.embed`)."""
        return self.decoder.embed(features, weight)

    def classify(
        self, f: Float[Array, "b h w D"], keep: Float[Array, "b D"] | None = None
    ) -> Float[Array, "b h w C"]:
        """Logits z of embeddings (`protocol.Decoder.classify`)."""
        return self.decoder.classify(f, keep)

    def project(self, f: Float[Array, "*b h w D"]) -> Float[Array, "*b h w D"]:
        """Projections u of embeddings (`protocol.Decoder.project`)."""
        return self.decoder.project(f)


def new_student(config: StudentConfig, seed: int = 0) -> Student:
    """A student with fresh weights, a function of `config` and `seed`."""
    student = abstract_student(config)
    leaves = nnx.to_flat_state(nnx.state(student))
    shapes: dict[tuple, tuple[int, ...]]
    shapes = {path: variable.get_value().shape for path, variable in leaves}
    fresh = {}
    for path, shape in shapes.items():
        fan_in = math.prod(shapes.get((*path[:-1], "kernel"), shape)[:-1])
        fresh[path] = fresh_leaf(path, shape, fan_in, seed, family_of(config).fresh_encoder)
    return fill(student, traversals.unflatten_mapping(fresh))


def abstract_student(config: StudentConfig) -> Student:
    """A student whose weights are shapes and dtypes only, to be filled."""
    return nnx.eval_shape(lambda: Student(config, _OneKey()))


def with_radius(student: Student, radius: int) -> Student:
    """The same student with another window of its fusion, which has no weights of its own."""
    other = abstract_student(dataclasses.replace(student.config, radius=radius))
    return fill(other, nnx.to_pure_dict(nnx.state(student)))


class _OneKey(nnx.Rngs):
    """Gives the same key to every layer, for shapes only.

    The counter of `nnx.Rngs` is a traced variable; for the thousand weights of a B5 reading it
    takes a minute.
    """

    def __init__(self):
        """Without streams, so that there is nothing to count."""

    def params(self):
        """Key of every weight."""
        return jax.random.key(0)


def fill(student: Student, weights: dict) -> Student:
    """Put a tree of arrays, as `nnx.to_pure_dict` of its state gives it, into a student."""
    state = nnx.state(student)
    nnx.replace_by_pure_dict(state, weights)
    nnx.update(student, state)
    return student

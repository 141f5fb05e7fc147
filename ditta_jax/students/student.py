"""The student: encoder, decoder and temporal fusion in one module."""

import math

import jax
from flax import nnx
from flax.nnx import traversals

from ditta_jax.students.fusion import TemporalFusion
from ditta_jax.students.initialisation import fresh_leaf
from ditta_jax.students.segformer.config import SegFormerConfig
from ditta_jax.students.segformer.decoder import Decoder
from ditta_jax.students.segformer.mit import MixTransformer


class Student(nnx.Module):
    """SegFormer with DiTTA's projection head and temporal fusion module."""

    def __init__(self, config: SegFormerConfig, rngs: nnx.Rngs):
        """Build all parts with fresh weights."""
        self.encoder = MixTransformer(config, rngs)
        self.decoder = Decoder(config, rngs)
        self.fusion = TemporalFusion(config, rngs)
        self.config = config


def new_student(config: SegFormerConfig, seed: int = 0) -> Student:
    """A student with fresh weights, a function of `config` and `seed`."""
    student = abstract_student(config)
    leaves = nnx.to_flat_state(nnx.state(student))
    shapes: dict[tuple, tuple[int, ...]]
    shapes = {path: variable.get_value().shape for path, variable in leaves}
    fresh = {}
    for path, shape in shapes.items():
        kernel = shapes.get((*path[:-1], "kernel"), shape)
        fresh[path] = fresh_leaf(path, shape, math.prod(kernel[:-1]), seed)
    return fill(student, traversals.unflatten_mapping(fresh))


def abstract_student(config: SegFormerConfig) -> Student:
    """A student whose weights are shapes and dtypes only, to be filled."""
    return nnx.eval_shape(lambda: Student(config, _OneKey()))


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

"""A student as the stages use it: taken apart, in the dtype of computation."""

from typing import NamedTuple

import jax
import numpy as np
from flax import nnx
from jaxtyping import PyTree

from ditta_jax.algorithm import precision
from ditta_jax.students.parts import Adaptable, join_student, split_student
from ditta_jax.students.student import Student


class Model(NamedTuple):
    """A student taken apart.

    Attributes:
        graph: its structure.
        encoder: frozen weights, in the dtype of computation; empty where they may adapt.
        network: what may adapt, before it does: decoder and fusion.
        compute: dtype of activations.
        num_classes: C.
    """

    graph: nnx.GraphDef
    encoder: nnx.State
    network: Adaptable
    compute: str
    num_classes: int


def take_apart(student: Student, compute: str, train: str = "decoder") -> Model:
    """Put a student on the device, split into what adapts and what does not.

    Args:
        student: not changed.
        compute: dtype of activations.
        train: group of parameters that is to adapt (`students.groups`).
    """
    network, graph, encoder = split_student(student, train)
    if compute == "float64":
        network = precision.cast(network, compute)
    # once, where weights are the host's as converters leave them: not with every frame
    encoder, network = jax.device_put((precision.cast(encoder, compute), network))
    return Model(graph, encoder, network, compute, student.config.num_classes)


def adapted_student(student: Student, network: Adaptable) -> Student:
    """A student with an adapted network in the place of its own, in float32.

    Args:
        student: as it was before adaptation; not changed. What `network` lacks is taken from it.
        network: in whatever it was computed in.
    """
    _, graph, encoder = split_student(student, "all" if "encoder" in network.params else "decoder")
    return join_student(graph, encoder, precision.cast(network, "float32"))


def fault_of_weights(weights: PyTree) -> str | None:
    """Why adapted weights must not be used: a number among them is not finite; None: they may."""
    finite = all(np.isfinite(np.asarray(x, np.float64)).all() for x in jax.tree.leaves(weights))
    return None if finite else "adapted weights are not finite"

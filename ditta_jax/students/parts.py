"""A student taken apart: what may adapt, what stays as it is, and how it is put together again."""

from typing import NamedTuple

import jax
from flax import nnx
from jaxtyping import PyTree

from ditta_jax.students.groups import members
from ditta_jax.students.student import Student


class Adaptable(NamedTuple):
    """The part of a student that may adapt: decoder and fusion, and the encoder where it must.

    Attributes:
        params: tree of parameters with the top keys "decoder" and "fusion"; "encoder" too where
            the group that adapts has parameters of it.
        statistics: tree of the running statistics of its BatchNorms: none, one or many.
    """

    params: PyTree
    statistics: PyTree


def split_student(
    student: Student, group: str = "decoder"
) -> tuple[Adaptable, nnx.GraphDef, nnx.State]:
    """Take a student apart.

    Args:
        student: not changed.
        group: of parameters that is to adapt (`groups.GROUPS`).

    Returns:
        what may adapt, how it is put together again, and the encoder's weights; these are empty
        where the group has parameters of the encoder.
    """
    graph, *states = nnx.split(student, nnx.Param, nnx.BatchStat)
    params, statistics = states
    own = Adaptable(nnx.to_pure_dict(params), nnx.to_pure_dict(statistics))
    if any(jax.tree.leaves(members(own.params, group).get("encoder", {}))):
        return own, graph, nnx.State({})
    in_encoder = nnx.filterlib.PathContains("encoder")
    encoder = nnx.state(student, in_encoder)
    return Adaptable(*({k: v for k, v in t.items() if k != "encoder"} for t in own)), graph, encoder


def join_student(graph: nnx.GraphDef, encoder: nnx.State, network: Adaptable) -> Student:
    """The inverse of `split_student`."""
    params = nnx.State(jax.tree.map(nnx.Param, network.params))
    statistics = nnx.State(jax.tree.map(nnx.BatchStat, network.statistics))
    return nnx.merge(graph, encoder, params, statistics)


def remembered(student: Student, network: Adaptable) -> PyTree:
    """The running statistics that a student holds after batches, of the parts `network` has."""
    statistics = nnx.to_pure_dict(nnx.state(student, nnx.BatchStat))
    return {part: statistics[part] for part in network.statistics}


def embedding_width(network: Adaptable) -> int:
    """D, which the fusion's layers show in every family."""
    return network.params["fusion"]["query"]["layers"][0]["kernel"].shape[0]

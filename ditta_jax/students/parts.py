"""A student taken apart: what adapts, what stays frozen, and how it is put together again."""

from typing import NamedTuple

import jax
from flax import nnx
from jaxtyping import PyTree

from ditta_jax.students.segformer.decoder import NormStatistics
from ditta_jax.students.student import Student


class Network(NamedTuple):
    """Decoder and fusion of one network: what adaptation changes.

    Attributes:
        params: tree of parameters with the top keys "decoder" and "fusion".
        norm: running statistics of the decoder's BatchNorm.
    """

    params: PyTree
    norm: NormStatistics


def split_student(student: Student) -> tuple[Network, nnx.GraphDef, nnx.State]:
    """Take apart what adapts, how it is put together again, and the frozen encoder."""
    in_encoder = nnx.filterlib.PathContains("encoder")
    graph, *states = nnx.split(student, in_encoder, nnx.Param, nnx.BatchStat)
    encoder, params, norm = states
    tree = nnx.to_pure_dict(params)
    running = nnx.to_pure_dict(norm)["decoder"]["norm"]
    return Network(tree, NormStatistics(running["mean"], running["var"])), graph, encoder


def join_student(graph: nnx.GraphDef, encoder: nnx.State, network: Network) -> Student:
    """The inverse of `split_student`."""
    params = nnx.State(jax.tree.map(nnx.Param, network.params))
    running = {"decoder": {"norm": jax.tree.map(nnx.BatchStat, network.norm._asdict())}}
    return nnx.merge(graph, encoder, params, nnx.State(running))

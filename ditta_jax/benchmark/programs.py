"""The compiled programs of a video, from shapes alone: nothing is allocated, no weights are read.

Lowered for any device that a compiler knows, and for none at all to look at their operations.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from ditta_jax.algorithm import adaptation, inference
from ditta_jax.algorithm.adaptation import AdaptationSettings, TaughtFrames
from ditta_jax.algorithm.model import Model
from ditta_jax.algorithm.optimiser import Hyperparameters
from ditta_jax.benchmark.workload import Size
from ditta_jax.methods import ditta, frozen, stream
from ditta_jax.methods.protocol import Fixed, Frame
from ditta_jax.students.parts import split_student
from ditta_jax.students.segformer.config import SegFormerConfig
from ditta_jax.students.student import new_student

PASSES = 5  # of the adaptation over the warm-up
CHUNK = 8  # frames of one call of stage D, as in `stages`
THRESHOLD = 0.8  # τ of Eq. 3
PROGRAMS = ("adaptation", "stage A", "stage D")


@dataclasses.dataclass(frozen=True)
class Shapes:
    """Everything the programs are called with, as shapes.

    Attributes:
        size: frames, classes, objects, student.
        compute: dtype of activations.
        graph: structure of the student.
        encoder: its frozen weights.
        network: decoder and fusion.
        frames: normalised warm-up frames.
        features: their features.
    """

    size: Size
    compute: str
    graph: Any
    encoder: PyTree
    network: PyTree
    frames: jax.ShapeDtypeStruct
    features: PyTree

    @property
    def feature_bytes(self) -> int:
        """What the warm-up's features need."""
        leaves = jax.tree.leaves(self.features)
        return sum(math.prod(x.shape) * x.dtype.itemsize for x in leaves)


def shapes(size: Size, compute: str, student: SegFormerConfig | None = None) -> Shapes:
    """The shapes of a size; `student` instead of the published one it names."""
    config = student or SegFormerConfig.published(size.student, size.classes)
    kept = {}

    def build():
        network, kept["graph"], encoder = split_student(new_student(config))
        return network, encoder

    network, encoder = jax.eval_shape(build)
    graph = kept["graph"]
    encoder = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, compute), encoder)
    frames = jax.ShapeDtypeStruct((size.frames, *size.input, 3), jnp.dtype(compute))
    encode = functools.partial(inference.encode, graph)
    features = jax.eval_shape(encode, encoder, network, frames)
    return Shapes(size, compute, graph, encoder, network, frames, features)


def lowered(name: str, arguments: Shapes, device: Any = None) -> jax.stages.Lowered:
    """One of `PROGRAMS`, lowered for a device (by default for those that are here)."""
    return traced(name, arguments, device).lower()


def traced(name: str, arguments: Shapes, device: Any = None) -> jax.stages.Traced:
    """One of `PROGRAMS` as operations on arrays, before any compiler has seen it."""
    trace = {"adaptation": _adaptation, "stage A": _stage_a, "stage D": _stage_d}[name]
    return trace(arguments, _placed(device))


def _shape(shape: tuple[int, ...], dtype: Any) -> Any:
    """A stand-in for an array, whose type annotations it does not have."""
    return jax.ShapeDtypeStruct(shape, dtype)


def _placed(device: Any) -> Callable[[PyTree], PyTree]:
    """Say of a tree of shapes that it lies on the device."""
    if device is None:
        return lambda tree: tree
    where = NamedSharding(Mesh([device], ("device",)), PartitionSpec())
    return functools.partial(
        jax.tree.map, lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where)
    )


def _adaptation(own: Shapes, put: Callable) -> jax.stages.Traced:
    size, byte = own.size, jnp.uint8
    maps = _shape((size.frames, size.height, size.width), byte)
    warm_up = TaughtFrames(own.features, maps, maps, _shape((size.frames,), bool))
    key = jax.eval_shape(lambda: jax.random.key(0))
    new_state = functools.partial(adaptation.new_state, objects=size.objects)
    state = jax.eval_shape(lambda network, key: new_state(network, key=key), own.network, key)
    hyper = Hyperparameters(*[_shape((), jnp.float32)] * len(Hyperparameters()))
    settings = AdaptationSettings(size.input)
    return adaptation.adapt.trace(
        put(state), own.graph, put(own.encoder), put(warm_up), put(hyper), settings, PASSES
    )


def _stage_a(own: Shapes, put: Callable) -> jax.stages.Traced:
    """Encoding and labelling together: a frame's two calls, on all frames."""
    size = (own.size.height, own.size.width)

    @jax.jit
    def stage_a(encoder, network, frames):
        features = inference.encode(own.graph, encoder, network, frames)
        labels = inference.label_plain(own.graph, encoder, network, features, size, own.size.input)
        return features, labels

    return stage_a.trace(put(own.encoder), put(own.network), put(own.frames))


def _stage_d(own: Shapes, put: Callable) -> jax.stages.Traced:
    """A chunk's calls together: the shared encoder, DiTTA and the frozen student."""
    first = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), own.features)
    exists = jax.ShapeDtypeStruct((), bool)
    previous = functools.partial(inference.previous_frame, own.graph)
    carry = jax.eval_shape(previous, own.encoder, own.network, first, exists)
    frames = jax.ShapeDtypeStruct((CHUNK, *own.frames.shape[1:]), own.frames.dtype)
    size = (own.size.height, own.size.width)
    fixed = Fixed(size, own.size.input, THRESHOLD, online=False)

    @functools.partial(jax.jit, donate_argnames="previous")
    def stage_d(encoder, network, source, previous, frames):
        model = Model(own.graph, encoder, source, own.compute, own.size.classes)
        seen = Frame(inference.encode(own.graph, encoder, source, frames), frames)
        state = ditta.State(network, previous)
        state, labels = stream.label_frames(ditta.METHOD, model, state, seen, fixed)
        _, plain = stream.label_frames(frozen.METHOD, model, (), seen, fixed)
        return state.previous, labels, plain

    network = put(own.network)
    return stage_d.trace(put(own.encoder), network, network, put(carry), put(frames))

"""The compiled scan of a method over consecutive frames (stage D)."""

import functools

import jax
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, PyTree, UInt8

from ditta_jax.algorithm.adaptation import map_settings
from ditta_jax.algorithm.model import Model
from ditta_jax.algorithm.video_mesh import each_video
from ditta_jax.methods.protocol import Fixed, Frame, Method, Scene
from ditta_jax.metrics.counts import Counting, Runs, Truth, count_frames
from ditta_jax.metrics.scores import FrameCounts
from ditta_jax.students.parts import Adaptable


def label_frames(
    method: Method, model: Model, state: PyTree, frames: Frame, fixed: Fixed, several: bool = False
) -> tuple[PyTree, UInt8[Array, "T *K H W"]]:
    """Label consecutive frames of a video.

    Args:
        method: whose step is the body of the scan.
        model: the pre-trained student.
        state: of the frame before; donated.
        frames: with a leading T.
        fixed: sizes and settings.
        several: `state` has a leading K, of as many settings; labels then have a second axis K.

    Returns:
        the state after the last frame, and the labels.
    """
    return _label_frames(
        state, frames, model.encoder, model.network, model.graph, method, fixed, several
    )


def label_videos(
    method: Method, model: Model, states: PyTree, frames: Frame, fixed: Fixed, mesh: Mesh
) -> tuple[PyTree, UInt8[Array, "V T H W"]]:
    """`label_frames` for V videos of one size, spread over devices; the same labels.

    Args:
        method: as in `label_frames`.
        model: as in `label_frames`; on every device of the mesh.
        states: with a leading V; donated.
        frames: with a leading V and T.
        fixed: as in `label_frames`.
        mesh: of `video_mesh.video_mesh`; V is a multiple of its size.

    Returns:
        states and labels, with a leading V.
    """
    return _label_videos(
        states, frames, model.encoder, model.network, model.graph, method, fixed, mesh
    )


@functools.partial(
    jax.jit,
    static_argnames=("graph", "method", "fixed", "several"),
    donate_argnames="state",
)
def _label_frames(
    state: PyTree,
    frames: Frame,
    encoder: nnx.State,
    network: Adaptable,
    graph: nnx.GraphDef,
    method: Method,
    fixed: Fixed,
    several: bool,
):
    return _scan(state, frames, encoder, network, graph, method, fixed, several)


@functools.partial(
    jax.jit, static_argnames=("graph", "method", "fixed", "mesh"), donate_argnames="states"
)
def _label_videos(
    states: PyTree,
    frames: Frame,
    encoder: nnx.State,
    network: Adaptable,
    graph: nnx.GraphDef,
    method: Method,
    fixed: Fixed,
    mesh: Mesh,
):
    def one(state, frames, encoder, network):
        return _scan(state, frames, encoder, network, graph, method, fixed, several=False)

    return each_video(one, mesh, shared=2)(states, frames, encoder, network)


def _scan(state, frames, encoder, network, graph, method, fixed, several):
    scene = Scene(graph, encoder, network, fixed)

    @jax.named_scope("stage_d")
    def step(state, frame):
        if several:
            return map_settings(lambda own: method.step(scene, own, frame), state)
        return method.step(scene, state, frame)

    return jax.lax.scan(step, state, frames)


@functools.partial(jax.jit, static_argnames=("counting", "mesh"), donate_argnames="runs")
def count_videos(
    runs: Runs, labels: UInt8[Array, "V T H W"], truth: Truth, counting: Counting, mesh: Mesh
) -> tuple[Runs, FrameCounts]:
    """`counts.count_frames` for V videos, all with a leading V, where `label_videos` left them."""
    one = functools.partial(count_frames, counting=counting)
    return each_video(one, mesh)(runs, labels, truth)

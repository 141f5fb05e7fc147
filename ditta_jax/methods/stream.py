"""The compiled scan of a method over consecutive frames (stage D)."""

import functools

import jax
from flax import nnx
from jaxtyping import Array, PyTree, UInt8

from ditta_jax.algorithm.adaptation import map_settings
from ditta_jax.algorithm.model import Model
from ditta_jax.methods.protocol import Fixed, Frame, Method, Scene
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
    scene = Scene(graph, encoder, network, fixed)

    @jax.named_scope("stage_d")
    def step(state, frame):
        if several:
            return map_settings(lambda own: method.step(scene, own, frame), state)
        return method.step(scene, state, frame)

    return jax.lax.scan(step, state, frames)

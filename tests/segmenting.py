"""Stage D in one call: the shared encoder, then DiTTA and the frozen student on its features."""

import jax
import jax.numpy as jnp

from ditta_jax.algorithm import inference
from ditta_jax.algorithm.model import Model
from ditta_jax.methods import ditta, frozen, stream
from ditta_jax.methods.protocol import Fixed, Frame


def segment(graph, encoder, network, source, previous, frames, size, threshold, **several):
    """Frames by an adapted network and by the one before adaptation.

    Returns:
        the carry, DiTTA's labels, the frozen student's labels.
    """
    model = Model(graph, encoder, source, str(frames.dtype), 0)
    seen = Frame(inference.encode(graph, encoder, source, frames), frames)
    fixed = Fixed(size, frames.shape[1:3], threshold, online=False)
    start = jax.tree.map(jnp.copy, ditta.State(network, previous))  # it is donated
    state, labels = stream.label_frames(ditta.METHOD, model, start, seen, fixed, **several)
    _, plain = stream.label_frames(frozen.METHOD, model, (), seen, fixed)
    return state.previous, labels, plain

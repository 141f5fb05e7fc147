"""One step on each frame: what methods share that learn from a video as it comes, without labels.

Under warm-up-then-freeze they take a step on each warm-up frame; online the scan over the rest of
the video takes one on each frame that it labels. A warm-up that is segmented as well comes again
in that scan, so that online nothing is learnt of it before.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from ditta_jax.algorithm import inference
from ditta_jax.algorithm.model import Model
from ditta_jax.algorithm.settings import Settings
from ditta_jax.methods.protocol import WarmUp


def walk(
    state: Any,
    learn: Callable[[Any, Any], tuple[Any, Float[Array, ""]]],
    seen: Iterable[Any],
) -> tuple[Any, list[dict[str, float]]]:
    """Take a step on each frame in turn.

    Args:
        state: before the first; an array at least.
        learn: from the state and a frame, the state after it and the loss before it.
        seen: frames, as `learn` takes them.

    Returns:
        the state after the last frame, and one row of losses a step.
    """
    # Weights read from a file are bound to a device, fresh moments and keys are not, and after a
    # step all are: bound from the start, or the step would be compiled again for the second frame.
    state = jax.device_put(state, jax.tree.leaves(state)[0].sharding)
    rows = []
    for t, frame in enumerate(seen):
        frame = jax.device_put(frame)
        with jax.transfer_guard("disallow"):
            state, loss = learn(state, frame)
        rows.append({"pass": 0, "frame": t, "total": float(loss)})
    return state, rows


def come_again(warm_up: WarmUp, settings: Settings) -> bool:
    """Whether the scan over the video learns from the warm-up frames itself."""
    return warm_up.scored and settings.protocol == "online"


def features_to_learn_from(
    model: Model, warm_up: WarmUp, settings: Settings
) -> Iterator[PyTree[Float[Array, "_h _w _c"]]]:
    """The frozen encoder's features of the warm-up frames; none where these come again."""
    if come_again(warm_up, settings):
        return
    encoded = settings.stochastic_depth == 0 and "encoder" not in model.network.params
    for frame in warm_up.features:
        yield frame if encoded else _encode(model, frame)


def images_to_learn_from(warm_up: WarmUp, settings: Settings) -> Sequence[Float[Array, "Hi Wi 3"]]:
    """The encoder's input on the warm-up frames, where it adapts; none where these come again."""
    return () if come_again(warm_up, settings) else warm_up.features


def _encode(model: Model, image: Float[Array, "Hi Wi 3"]) -> PyTree:
    images = jnp.asarray(image)[None]
    features = inference.encode(model.graph, model.encoder, model.network, images)
    return jax.tree.map(lambda x: x[0], features)


def optimiser_of(name: str, lr: float) -> optax.GradientTransformation:
    """Adam with β (0.9, 0.999), or SGD with momentum 0.9; without weight decay."""
    return optax.adam(lr) if name == "adam" else optax.sgd(lr, 0.9)


def stepped(
    optimiser: optax.GradientTransformation, params: PyTree, gradient: PyTree, moments: PyTree
) -> tuple[PyTree, PyTree]:
    """Parameters and moments after a step of an optimiser."""
    with jax.numpy_dtype_promotion("standard"):  # optax raises numbers to its count of steps
        updates, moments = optimiser.update(gradient, moments, params)
    return optax.apply_updates(params, updates), moments


def random_key(settings: Settings, name: str) -> PRNGKeyArray:
    """The random key of a video: the same wherever and in whichever order it is adapted to."""
    return jax.random.fold_in(jax.random.key(settings.seed), zlib.crc32(name.encode()))

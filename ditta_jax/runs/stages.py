"""Stage A on one video, and the chunks of frames that stages A and D compute at once."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from ditta_jax.algorithm import inference
from ditta_jax.algorithm.model import Model
from ditta_jax.algorithm.settings import Settings
from ditta_jax.data.prefetch import Frames, Seen, inputs
from ditta_jax.data.preprocess import input_size
from ditta_jax.errors import UserError
from ditta_jax.methods.protocol import WarmUp
from ditta_jax.students.platform import platform

CHUNK = 8  # frames per compiled call: hides dispatch, bounds what is in flight


def label_warm_up(
    model: Model,
    frames: Frames,
    settings: Settings,
    name: str = "",
    *,
    stop: int | None = None,
    scored: bool = False,
    images: bool = False,
    advance: Callable[[], object] = lambda: None,
) -> WarmUp:
    """Stage A: encode the warm-up frames once, and label them with the frozen student.

    Args:
        model: the pre-trained student.
        frames: of the video.
        settings: of all stages.
        name: of the video.
        stop: T_w; all frames by default.
        scored: whether these frames are segmented and scored later as well.
        images: whether a method needs the encoder's input.
        advance: called after each frame.

    Raises:
        UserError: the student's output is not finite.
    """
    features, kept, labels, reliability = [], [], [], []
    recomputed = settings.stochastic_depth > 0 or "encoder" in model.network.params
    at_once = _warm_up_frames_at_once()
    for chunk in chunks(inputs(frames, settings.scale, settings.divisor, stop=stop), at_once):
        size = chunk[0].frame.shape[:2]
        inner = input_size(size, settings.scale, settings.divisor)
        images_made = inference.normalised(jnp.asarray(stacked(chunk, at_once)), model.compute)
        levels = inference.encode(model.graph, model.encoder, model.network, images_made)
        plain = inference.label_plain(
            model.graph, model.encoder, model.network, levels, size, inner
        )
        labels += list(np.asarray(plain.label)[: len(chunk)])
        reliability += list(np.asarray(plain.reliability, np.float32)[: len(chunk)])
        for place, (index, *_) in enumerate(chunk):
            check_finite(labels[index], model, f"{name}: the student's output on frame {index}")
            last = jax.tree.map(lambda x, place=place: x[place], levels)
            features.append(images_made[place] if recomputed else last)
            if images:
                kept.append(images_made[place])
            advance()
    return WarmUp(
        name,
        features,
        kept if images else None,
        np.stack(labels),
        np.stack(reliability),
        inner,
        last,
        scored,
    )


def _warm_up_frames_at_once() -> int:
    """Frames per compiled call of stage A: as in D, but on a CPU, where padding costs a frame."""
    return 1 if platform() == "cpu" else CHUNK


# ---------------------------------------------------------------------------- chunks of frames


def check_finite(label: UInt8[np.ndarray, "H W"], model: Model, what: str) -> None:
    """Refuse a label map with pixels that no class has: logits there are NaN.

    Raises:
        UserError: says `what` is not finite.
    """
    if label.max() >= model.num_classes:
        raise UserError(f"{what} is not finite")


def stacked(chunk: Sequence[Seen], count: int) -> UInt8[np.ndarray, "count Hi Wi 3"]:
    """The images of a chunk, the last one repeated up to so many."""
    images = np.stack([seen.image for seen in chunk])
    return np.pad(images, [(0, count - len(chunk)), (0, 0), (0, 0), (0, 0)], mode="edge")


def chunks(items: Iterable[Seen], count: int) -> Iterator[list[Seen]]:
    """So many frames at a time, the last ones fewer."""
    chunk = []
    for item in items:
        chunk.append(item)
        if len(chunk) == count:
            yield chunk
            chunk = []
    if chunk:
        yield chunk

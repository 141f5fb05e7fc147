"""Stages A and D on one video, between frames and arrays: what `one_group` tells in order."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree, UInt8

from ditta_jax.algorithm import inference, precision
from ditta_jax.algorithm.model import Model
from ditta_jax.algorithm.settings import Settings
from ditta_jax.data.prefetch import Frames, ahead, inputs
from ditta_jax.data.preprocess import input_size
from ditta_jax.errors import UserError
from ditta_jax.methods import registry, stream
from ditta_jax.methods.protocol import Fixed, Frame, Method, Prepared, WarmUp
from ditta_jax.runs.clock import Clock
from ditta_jax.students.platform import platform

CHUNK = 8  # frames per compiled call of stage D: hides dispatch, bounds what is in flight
FROZEN = "frozen"


class Segmented(NamedTuple):
    """One frame out of stage D: its index, the frame, and each method's label map by name."""

    index: int  # type: ignore[assignment]  # mypy: a tuple has a method of that name
    frame: UInt8[np.ndarray, "H W 3"]
    labels: dict[str, UInt8[np.ndarray, "*K H W"]]


class Clocks:
    """What stage D takes.

    Attributes:
        encoder: seconds of the encoder that methods share.
        methods: seconds of each method's own part, by name.
        frames: that were computed, those that fill up the last chunk included.
    """

    def __init__(self, methods: Sequence[Method]) -> None:
        self.encoder = Clock()
        self.methods = {name: Clock() for name in (FROZEN, *(m.name for m in methods))}
        self.frames = 0

    def frames_per_second(self, method: str) -> float | None:
        """Speed of a method by itself: the shared encoder and its own part."""
        seconds = self.encoder.seconds + self.methods[method].seconds
        return self.frames / seconds if seconds > 0 else None


# ---------------------------------------------------------------------------- A: frozen student


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
    for chunk in _chunks(inputs(frames, settings.scale, settings.divisor, stop=stop), at_once):
        size = chunk[0][1].shape[:2]
        inner = input_size(size, settings.scale, settings.divisor)
        images_made = _stacked(chunk, at_once, model)
        levels = inference.encode(model.graph, model.encoder, model.network, images_made)
        plain = inference.label_plain(
            model.graph, model.encoder, model.network, levels, size, inner
        )
        labels += list(np.asarray(plain.label)[: len(chunk)])
        reliability += list(np.asarray(plain.reliability, np.float32)[: len(chunk)])
        for place, (index, _, _) in enumerate(chunk):
            _check_finite(labels[index], model, f"{name}: the student's output on frame {index}")
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


# ---------------------------------------------------------------------------- D: inference


def segment_rest(
    model: Model,
    methods: Sequence[Method],
    prepared: Mapping[str, Prepared],
    frames: Frames,
    size: tuple[int, int],
    first: int,
    settings: Settings,
    clocks: Clocks,
    several: bool = False,
) -> Iterator[Segmented]:
    """Stage D: labels of the frames from `first` on, in order, by every method.

    Decoding and resizing run ahead in one thread, the network in another, so that the caller's
    work on a chunk of frames and the computation of the next one overlap. The encoder sees each
    frame once. A method that keeps the frozen student's labels is given those.

    Args:
        model: the pre-trained student.
        methods: with names of their own.
        prepared: what each knows, by name.
        frames: of the whole video.
        size: (H, W) of each.
        first: index of the frame to begin with.
        settings: of all stages.
        clocks: run while it works.
        several: states have a leading K; so have the labels then, but the frozen student's.
    """
    kept = [name for name, own in prepared.items() if own.kept_frozen is not None]
    at_work = {m.name: m for m in methods if m.name not in kept}
    if kept and FROZEN not in at_work:
        at_work[FROZEN] = registry.named(FROZEN)
        prepared = {**prepared, FROZEN: Prepared(())}

    def chunks() -> Iterator[tuple[list, dict]]:
        with precision.policy(settings.compute, settings.matmul):  # it is each thread's own
            fixed = Fixed(
                size,
                input_size(size, settings.scale, settings.divisor),
                settings.threshold,
                settings.protocol == "online",
            )
            seen = inputs(frames, settings.scale, settings.divisor, start=first)
            yield from _label_chunks(model, at_work, prepared, seen, fixed, clocks, several)

    for chunk, labels in ahead(chunks, depth=1):
        for place, (index, frame, _) in enumerate(chunk):
            own = {name: maps[place] for name, maps in labels.items()}
            own |= {name: own[FROZEN] for name in kept}
            yield Segmented(index, frame, {m.name: own[m.name] for m in methods})


def _label_chunks(model, methods, prepared, seen, fixed, clocks, several):
    """Chunks of frames with the labels of each method, a chunk of maps each."""
    # donated from here on, and what is prepared may be wanted again
    states = {name: jax.tree.map(jnp.copy, prepared[name].state) for name in methods}
    for chunk in _chunks(seen, CHUNK):
        images = _stacked(chunk, CHUNK, model)
        with clocks.encoder.running(), jax.transfer_guard("disallow"):
            features = inference.encode(model.graph, model.encoder, model.network, images)
            jax.block_until_ready(features)
        clocks.frames += CHUNK
        labels = {}
        for name, method in methods.items():
            with clocks.methods[name].running():
                own = _own_inputs(prepared[name], [index for index, _, _ in chunk])
                frames = Frame(features, images, own)
                with jax.transfer_guard("disallow"):  # all that the scan needs is on the device
                    states[name], maps = stream.label_frames(
                        method, model, states[name], frames, fixed, several and name != FROZEN
                    )
                jax.block_until_ready(maps)
            labels[name] = np.asarray(maps)
            for place, (index, _, _) in enumerate(chunk):
                if not (several and name != FROZEN):  # a sweep knows which setting went wrong
                    where = f"the output of {method.title} on frame {index}"
                    _check_finite(labels[name][place], model, where)
        yield chunk, labels


def _check_finite(label: UInt8[np.ndarray, "H W"], model: Model, what: str) -> None:
    """Refuse a label map with pixels that no class has: logits there are NaN."""
    if label.max() >= model.num_classes:
        raise UserError(f"{what} is not finite")


def _own_inputs(prepared: Prepared, indices: list[int]) -> PyTree:
    """What a method asks for each frame, stacked and padded to a chunk."""
    if prepared.frame_inputs is None:
        return None
    own = [prepared.frame_inputs(index) for index in indices]
    own += own[-1:] * (CHUNK - len(own))
    return jax.tree.map(lambda *x: jnp.stack(x), *own)


def _stacked(chunk: list, count: int, model: Model) -> Float[Array, "count Hi Wi 3"]:
    """The inputs of a chunk on the device, the last one repeated up to so many."""
    made = np.stack([image for _, _, image in chunk])
    made = np.pad(made, [(0, count - len(chunk)), (0, 0), (0, 0), (0, 0)], mode="edge")
    return jnp.asarray(made, model.compute)


def _chunks(items, count: int) -> Iterator[list]:
    chunk = []
    for item in items:
        chunk.append(item)
        if len(chunk) == count:
            yield chunk
            chunk = []
    if chunk:
        yield chunk

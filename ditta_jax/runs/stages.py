"""The stages of DiTTA on one video, between files and arrays: what `adapt.py` tells in order."""

import functools
import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float, PRNGKeyArray, PyTree, UInt8
from ml_collections import ConfigDict

from ditta_jax.algorithm import adaptation, inference, precision
from ditta_jax.algorithm.adaptation import AdaptationSettings, WarmUp
from ditta_jax.algorithm.optimiser import Hyperparameters
from ditta_jax.algorithm.padding import pad_features, pad_targets, pad_warm_up, padded_sizes
from ditta_jax.algorithm.targets import FrameTarget, target, vote
from ditta_jax.algorithm.video_mesh import (
    fetch,
    home,
    on_every_device,
    spread,
    unused,
    video_mesh,
)
from ditta_jax.data.prefetch import inputs
from ditta_jax.data.preprocess import input_size
from ditta_jax.data.video import Video
from ditta_jax.errors import UserError
from ditta_jax.students.fusion import ATTENTIONS
from ditta_jax.students.parts import Adaptable, split_student
from ditta_jax.students.student import Student
from ditta_jax.teacher.records import Masklets, Request, class_peaks

METHOD_VERSION = 1  # raised when DiTTA's numbers change, so that finished videos are done again
CHUNK = 8  # frames per compiled call of stage D: hides dispatch, bounds what is in flight


class Model(NamedTuple):
    """A student taken apart for the stages.

    Attributes:
        graph: its structure.
        encoder: frozen weights, in the dtype of computation.
        network: decoder and fusion before adaptation.
        compute: dtype of activations.
    """

    graph: nnx.GraphDef
    encoder: nnx.State
    network: Adaptable
    compute: str


class FrozenWarmUp(NamedTuple):
    """Stage A's result on the warm-up frames, in host and device memory.

    Attributes:
        features: per frame, the encoder's levels (with stochastic depth: the network's input).
        labels: UInt8[np.ndarray, "T H W"], the frozen student's.
        reliability: Float32[np.ndarray, "T H W"].
        input_size: (Hi, Wi).
        last: features of the last warm-up frame, which stage D starts from.
    """

    features: list[PyTree]
    labels: UInt8[np.ndarray, "T H W"]
    reliability: Float[np.ndarray, "T H W"]
    input_size: tuple[int, int]
    last: PyTree

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        H, W = self.labels.shape[1:]
        return H, W


class Segmented(NamedTuple):
    """One frame out of stage D: its index, the frame, and the label maps of both methods."""

    index: int  # type: ignore[assignment]  # mypy: a tuple has a method of that name
    frame: UInt8[np.ndarray, "H W 3"]
    adapted: UInt8[np.ndarray, "H W"]
    frozen: UInt8[np.ndarray, "H W"]


def take_apart(student: Student, compute: str) -> Model:
    """Split a student into what adapts and what does not, in the dtype of computation."""
    network, graph, encoder = split_student(student)
    if compute == "float64":
        network = precision.cast(network, compute)
    return Model(graph, precision.cast(encoder, compute), network, compute)


def warm_up_length(frames: int, percent: float) -> int:
    """T_w = max(⌊T · percent / 100⌋, 1) (SPEC "Protocol")."""
    return max(int(frames * percent / 100), 1)


def first_scored(frames: int, percent: float) -> int:
    """First frame of stage D: T_w, or 0 where all frames are both adapted on and scored."""
    return 0 if percent >= 100 else warm_up_length(frames, percent)


# ---------------------------------------------------------------------------- A: frozen student


def label_warm_up(model: Model, video: Video, config: ConfigDict, advance) -> FrozenWarmUp:
    """Stage A: encode the warm-up frames once, and label them with the frozen student."""
    T = warm_up_length(len(video.frames), config.warmup.percent)
    inner = input_size(video.size, config.input.scale, config.input.divisor)
    features, labels, reliability = [], [], []
    ahead = inputs(video.frames, config.input.scale, config.input.divisor, stop=T)
    for _, _, image in ahead:
        frame = jnp.asarray(image[None], model.compute)
        levels = inference.encode(model.graph, model.encoder, model.network, frame)
        plain = inference.label_plain(
            model.graph, model.encoder, model.network, levels, video.size, inner
        )
        labels.append(np.asarray(plain.label[0]))
        reliability.append(np.asarray(plain.reliability[0], np.float32))
        last = jax.tree.map(lambda x: x[0], levels)
        features.append(frame[0] if config.encoder.stochastic_depth > 0 else last)
        advance()
    return FrozenWarmUp(features, np.stack(labels), np.stack(reliability), inner, last)


def request_of(video: Video, frozen: FrozenWarmUp, classes: int, config: ConfigDict) -> Request:
    """What the teacher is told of a video: where each class is most reliable on each frame."""
    T = len(frozen.labels)
    peaks = tuple(
        class_peaks(label, reliability)
        for label, reliability in zip(frozen.labels, frozen.reliability, strict=True)
    )
    names = tuple(video.frames.frame_name(t) for t in range(T))
    thresholds = (config.teacher.threshold_first, config.teacher.threshold_later)
    return Request(
        video.name, names, video.size, classes, peaks, thresholds, config.teacher.max_objects
    )


# ---------------------------------------------------------------------------- B: vote and labels


def targets_of(
    masklets: Masklets, frozen: FrozenWarmUp, classes: int, config: ConfigDict
) -> list[FrameTarget | None]:
    """Vote on the objects' classes and make each frame's labels (Eq. 4, 5)."""
    result = vote(
        masklets,
        frozen.labels,
        frozen.reliability,
        classes,
        masklets.pixels_per_class,
        config.vote.area_power,
        config.vote.frequency_power,
    )
    return [target(masklets.decode(t), result, label) for t, label in enumerate(frozen.labels)]


# ---------------------------------------------------------------------------- C: adaptation


def adapt_to(
    model: Model,
    frozen: FrozenWarmUp,
    targets: Sequence[FrameTarget | None],
    config: ConfigDict,
    name: str = "",
) -> tuple[Adaptable, list[dict[str, float]]]:
    """Stage C: adapt decoder and fusion to a video, from any targets.

    Args:
        model: the pre-trained student; not changed.
        frozen: stage A's result.
        targets: per warm-up frame, labels and object ids, from SAM2's masklets (`targets_of`) or
            from elsewhere (`targets.labels_from_ids`); `None` skips a frame.
        config: `tta`, `loss`, `encoder` and `seed` are read.
        name: of the video; random numbers depend on it and the seed only.

    Returns:
        the adapted network, and one row of losses per step that was taken.
    """
    taken = [t for t, target in enumerate(targets) if target is not None]
    if not taken:
        return model.network, []
    length, objects = padded_sizes([targets], config.tta.max_frame_bucket)
    warm_up = pad_warm_up(frozen.features, targets, frozen.size, length, objects)
    state, losses = adaptation.adapt(
        adaptation.new_state(model.network, objects, _key(config, name), config.tta.train),
        model.graph,
        model.encoder,
        warm_up,
        hyperparameters(config),
        settings(config, frozen.input_size),
        config.tta.iters,
    )
    return state.live, _loss_rows(losses, taken, length, config.tta.iters)


def adapt_to_many(
    model: Model,
    frozen: Sequence[FrozenWarmUp],
    targets: Sequence[Sequence[FrameTarget | None]],
    config: ConfigDict,
    names: Sequence[str],
    devices: Sequence[jax.Device] | None = None,
) -> list[tuple[Adaptable, list[dict[str, float]]]]:
    """`adapt_to` for V videos of one size in one program, spread over the local devices.

    Results are those of `adapt_to` up to rounding, whichever videos are together. The features of
    all videos are in memory at once, and a device that holds several videos needs the memory of
    the adaptation several times.

    Args:
        model: as in `adapt_to`.
        frozen: per video, stage A's result.
        targets: per video, as in `adapt_to`.
        config: `parallel` is read too: no more devices than it has videos.
        names: of the videos.
        devices: other ones than the local ones.

    Returns:
        per video, what `adapt_to` returns, on the default device.
    """
    taught = [v for v, own in enumerate(targets) if any(target is not None for target in own)]
    if len(taught) < 2:
        every = zip(frozen, targets, names, strict=True)
        return [adapt_to(model, first, own, config, name) for first, own, name in every]
    mesh = video_mesh(devices or jax.local_devices()[: config.parallel.videos])
    length, objects = padded_sizes([targets[v] for v in taught], config.tta.max_frame_bucket)
    start = adaptation.new_state(model.network, objects, _key(config, ""), config.tta.train)
    states = [start._replace(key=_key(config, names[v])) for v in taught]
    warm_ups = [
        jax.device_put(
            pad_warm_up(frozen[v].features, targets[v], frozen[v].size, length, objects),
            home(place, len(taught), mesh),
        )
        for place, v in enumerate(taught)
    ]
    recomputed = config.encoder.stochastic_depth > 0
    state, losses = adaptation.adapt_to_videos(
        spread(states, mesh),
        model.graph,
        on_every_device(model.encoder, mesh) if recomputed else unused(model.encoder),
        spread(warm_ups, mesh),
        hyperparameters(config),
        settings(config, frozen[0].input_size),
        config.tta.iters,
        mesh,
    )
    results: list[tuple[Adaptable, list]] = [(model.network, []) for _ in names]
    for v, (live, own) in zip(taught, fetch((state.live, losses), len(taught)), strict=True):
        taken = [t for t, target in enumerate(targets[v]) if target is not None]
        rows = _loss_rows(own, taken, length, config.tta.iters)
        results[v] = jax.tree.map(jnp.asarray, live), rows
    return results


def adapt_under_settings(
    model: Model,
    frozen: FrozenWarmUp,
    targets: Sequence[Sequence[FrameTarget | None]],
    configs: Sequence[ConfigDict],
    name: str = "",
) -> Adaptable:
    """`adapt_to` under K configurations that differ in numbers of `tta` and `vote` only.

    Args:
        model: as in `adapt_to`.
        frozen: as in `adapt_to`.
        targets: per configuration, the targets of every warm-up frame.
        configs: the K configurations.
        name: as in `adapt_to`.

    Returns:
        K adapted networks, stacked.
    """
    if all(target is None for target in targets[0]):
        return jax.tree.map(lambda x: jnp.stack([x] * len(configs)), model.network)
    length, objects = padded_sizes(targets, configs[0].tta.max_frame_bucket)
    padded = [pad_targets(own, frozen.size, length, objects) for own in targets]
    labels, object_ids, has_target = zip(*padded, strict=True)
    features = pad_features(frozen.features, length)  # once, however many settings there are
    warm_up = WarmUp(features, jnp.stack(labels), jnp.stack(object_ids), has_target[0])
    hyper = jax.tree.map(lambda *x: jnp.array(x), *map(hyperparameters, configs))
    state, _ = adaptation.adapt_under_settings(
        adaptation.new_state(model.network, objects, _key(configs[0], name), configs[0].tta.train),
        model.graph,
        model.encoder,
        warm_up,
        hyper,
        settings(configs[0], frozen.input_size),
        configs[0].tta.iters,
    )
    return state.live


def _key(config: ConfigDict, name: str) -> PRNGKeyArray:
    """The random key of a video: the same wherever and in whichever order it is adapted to."""
    return jax.random.fold_in(jax.random.key(config.seed), zlib.crc32(name.encode()))


def hyperparameters(config: ConfigDict) -> Hyperparameters:
    """The numbers of `config.tta` that a compiled adaptation takes as arguments."""
    return Hyperparameters(**{name: config.tta[name] for name in Hyperparameters._fields})


def settings(config: ConfigDict, inner: tuple[int, int]) -> AdaptationSettings:
    """The settings that choose what is compiled.

    Raises:
        UserError: a value that does not exist.
    """
    for key, value, known in (
        ("tta.train", config.tta.train, ("decoder", "classifier", "addon")),
        ("loss.on", config.loss.on, ("probabilities", "logits")),
        ("fusion.attention", config.fusion.attention, ATTENTIONS),
    ):
        if value not in known:
            raise UserError(f"{key} must be one of {', '.join(known)}, not {value!r}")
    return AdaptationSettings(
        inner,
        config.tta.train,
        config.loss.on,
        config.tta.dropout,
        config.encoder.stochastic_depth,
        config.loss.temperature,
        config.fusion.attention,
    )


def _loss_rows(losses, taken: Sequence[int], length: int, iters: int) -> list[dict[str, float]]:
    values = {name: np.asarray(column) for name, column in losses._asdict().items()}
    return [
        {"pass": i, "frame": t} | {n: float(v[i * length + t]) for n, v in values.items()}
        for i in range(iters)
        for t in taken
    ]


# ---------------------------------------------------------------------------- D: inference


def segment_rest(
    model: Model, adapted: Adaptable, frozen: FrozenWarmUp, video: Video, config: ConfigDict
) -> Iterator[Segmented]:
    """Stage D: labels of the frames after the warm-up, in order, with the frozen student's beside.

    Decoding and resizing run ahead in a thread, and a chunk's labels are fetched while the next
    one is computed.
    """
    previous = functools.partial(inference.previous_frame, model.graph, model.encoder)
    return _stream(inference.segment, previous, model, adapted, frozen, video, config)


def segment_rest_under_settings(
    model: Model, adapted: Adaptable, frozen: FrozenWarmUp, video: Video, config: ConfigDict
) -> Iterator[Segmented]:
    """`segment_rest` with K stacked networks: `Segmented.adapted` is UInt8["K H W"]."""

    def previous(networks, features, exists):
        one = functools.partial(inference.previous_frame, model.graph, model.encoder)
        return jax.vmap(lambda network: one(network, features, exists))(networks)

    return _stream(
        inference.segment_under_settings, previous, model, adapted, frozen, video, config
    )


def _stream(segment, previous, model, adapted, frozen, video, config) -> Iterator[Segmented]:
    first = first_scored(len(video.frames), config.warmup.percent)
    carry = previous(adapted, frozen.last, first > 0)
    waiting: tuple | None = None
    ahead = inputs(video.frames, config.input.scale, config.input.divisor, start=first)
    for chunk in _chunks(ahead):
        images = np.stack([image for _, _, image in chunk])
        images = np.pad(images, [(0, CHUNK - len(chunk)), (0, 0), (0, 0), (0, 0)], mode="edge")
        carry, labels, frozen_labels = segment(
            model.graph,
            model.encoder,
            adapted,
            model.network,
            carry,
            jnp.asarray(images, model.compute),
            size=video.size,
            threshold=config.fusion.threshold,
            attention=config.fusion.attention,
        )
        if waiting:
            yield from _fetch(*waiting)
        waiting = (chunk, labels, frozen_labels)
    if waiting:
        yield from _fetch(*waiting)


def _chunks(items) -> Iterator[list]:
    chunk = []
    for item in items:
        chunk.append(item)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _fetch(chunk, labels, frozen_labels) -> Iterator[Segmented]:
    labels, frozen_labels = np.asarray(labels), np.asarray(frozen_labels)
    for place, (index, frame, _) in enumerate(chunk):
        yield Segmented(index, frame, labels[place], frozen_labels[place])

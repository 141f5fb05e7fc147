"""DiTTA: decoder and temporal fusion learn from SAM2's masks, then everything is frozen.

Kim, Kwon, Kweon, Yoon: "Bootstrapping Video Semantic Segmentation Model via Distillation-assisted
Test-Time Adaptation", CVPR 2026. The vote and the labels are Eq. 4 and 5, learning is Eq. 6 to 8,
inference Eq. 3. It is warm-up-then-freeze by definition: its teacher sees the warm-up only.
"""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ditta_jax.algorithm import adaptation, inference
from ditta_jax.algorithm.inference import PreviousFrame
from ditta_jax.algorithm.model import Model, fault_of_weights
from ditta_jax.algorithm.padding import pad_features, pad_targets, pad_warm_up, padded_sizes
from ditta_jax.algorithm.settings import Settings
from ditta_jax.algorithm.targets import FrameTarget, target
from ditta_jax.algorithm.video_mesh import (
    devices_of,
    fetch,
    home,
    on_every_device,
    spread,
    unused,
    video_mesh,
)
from ditta_jax.methods.one_step import random_key
from ditta_jax.methods.protocol import MASKLETS, Frame, Method, Prepared, Scene, WarmUp
from ditta_jax.methods.votes import vote_of
from ditta_jax.students.parts import Adaptable, join_student

Targets = Sequence[FrameTarget | None]
Rows = list[dict[str, float]]


class State(NamedTuple):
    """What stage D carries: the adapted network, which does not change, and the frame before."""

    network: Adaptable
    previous: PreviousFrame


@dataclasses.dataclass(frozen=True)
class Ditta(Method):
    """Stages B (vote), C and D."""

    name: ClassVar[str] = "ditta"
    title: ClassVar[str] = "DiTTA"
    needs: ClassVar[frozenset[str]] = frozenset({MASKLETS})

    def draws(self, settings: Settings) -> bool:
        """Channels that are dropped, and the depth of the encoder."""
        return settings.dropout > 0 or settings.stochastic_depth > 0

    def prepare(self, model: Model, warm_up: WarmUp, settings: Settings) -> Prepared:
        """Adapt to the warm-up frames."""
        (prepared,) = self.prepare_many(model, [warm_up], settings, devices=1)
        return prepared

    def prepare_many(
        self, model: Model, warm_ups: Sequence[WarmUp], settings: Settings, devices: int
    ) -> list[Prepared]:
        """Adapt to several videos of one size in one program."""
        targets = [targets_of(warm_up, model.num_classes, settings) for warm_up in warm_ups]
        here = devices_of(devices)
        adapted = adapt_to_many(model, warm_ups, targets, settings, here)
        return [
            self.prepared(model, *each) for each in zip(warm_ups, targets, adapted, strict=True)
        ]

    def prepared(
        self, model: Model, warm_up: WarmUp, targets: Targets, adapted: tuple[Adaptable, Rows]
    ) -> Prepared:
        """The state in which the rest of a video begins, once the network is adapted."""
        network, rows = adapted
        return Prepared(
            first_state(model, network, warm_up),
            rows,
            network,
            kept_frozen=reason_to_keep_frozen(targets, network, rows),
            details={"targets": sum(target is not None for target in targets)},
        )

    def step(self, scene: Scene, state: State, frame: Frame):
        """Eq. 3."""
        fixed = scene.fixed
        student = join_student(scene.graph, scene.encoder, state.network)
        adapts = "encoder" in state.network.params  # else it is the same before and after
        previous, label = inference.fuse_frame(
            student,
            state.previous,
            inference.encode_frame(student, frame.image) if adapts else frame.features,
            fixed.size,
            fixed.input_size,
            fixed.threshold,
        )
        return State(state.network, previous), label


METHOD = Ditta()


def prepare_under_settings(
    model: Model, warm_up: WarmUp, settings: Sequence[Settings]
) -> tuple[Prepared, list[str | None]]:
    """Adapt to a video under K settings at once (`adapt_under_settings`).

    Returns:
        a state with a leading K, and per setting, why it must not count (None where it may).
    """
    targets = [targets_of(warm_up, model.num_classes, own) for own in settings]
    adapted = adapt_under_settings(model, warm_up, targets, settings)
    reasons = [
        reason_to_keep_frozen(own, *learnt) for own, learnt in zip(targets, adapted, strict=True)
    ]
    states = [first_state(model, network, warm_up) for network, _ in adapted]
    return Prepared(jax.tree.map(lambda *x: jnp.stack(x), *states)), reasons


def first_state(model: Model, network: Adaptable, warm_up: WarmUp) -> State:
    """The state after the warm-up; before the first frame, where the warm-up is scored too."""
    parts, last = (model.graph, model.encoder, network), warm_up.last
    if "encoder" in network.params:
        images = jnp.asarray(warm_up.features[-1][None])
        last = jax.tree.map(lambda x: x[0], inference.encode(*parts, images))
    before = inference.previous_frame(*parts, last, exists=not warm_up.scored)
    return State(network, before)


def reason_to_keep_frozen(targets: Targets, network: Adaptable, rows: Rows) -> str | None:
    """Why an adaptation must not count: nothing was learnt, or something is not finite."""
    if all(target is None for target in targets):
        return "nothing was learnt: the teacher found no object on the warm-up frames"
    for row in rows:
        if not np.isfinite(row["total"]):
            return f"the loss is {row['total']} (pass {row['pass']}, frame {row['frame']})"
    return fault_of_weights(network)


# ---------------------------------------------------------------------------- B: vote and labels


def targets_of(warm_up: WarmUp, num_classes: int, settings: Settings) -> list[FrameTarget | None]:
    """Vote on the objects' classes and make each frame's labels (Eq. 4, 5)."""
    assert warm_up.masks is not None
    masklets = warm_up.masks[MASKLETS]
    result = vote_of(masklets, warm_up, num_classes, settings)
    return [target(masklets.decode(t), result, label) for t, label in enumerate(warm_up.labels)]


# ---------------------------------------------------------------------------- C: adaptation


def adapt_to(
    model: Model, warm_up: WarmUp, targets: Targets, settings: Settings
) -> tuple[Adaptable, Rows]:
    """Stage C: adapt decoder and fusion to a video, from any targets.

    Args:
        model: the pre-trained student; not changed.
        warm_up: stage A's result.
        targets: per warm-up frame, labels and object ids, from SAM2's masklets (`targets_of`) or
            from elsewhere (`targets.labels_from_ids`); `None` skips a frame.
        settings: of all stages.

    Returns:
        the adapted network, and one row of losses per step that was taken.
    """
    taken = [t for t, target in enumerate(targets) if target is not None]
    if not taken:
        return model.network, []
    length, objects = padded_sizes([targets], settings.least_frames)
    start = _new_state(model, objects, settings, warm_up.name)
    padded = pad_warm_up(warm_up.features, targets, warm_up.size, length, objects)
    hyper = jax.device_put(settings.hyperparameters())
    with jax.transfer_guard("disallow"):  # all that a scan needs is on the device before it
        state, losses = adaptation.adapt(
            start,
            model.graph,
            model.encoder,
            padded,
            hyper,
            settings.compiled(warm_up.input_size),
            settings.iters,
        )
    return state.live, _loss_rows(losses, taken, length, settings.iters)


def adapt_to_many(
    model: Model,
    warm_ups: Sequence[WarmUp],
    targets: Sequence[Targets],
    settings: Settings,
    devices: Sequence[jax.Device],
) -> list[tuple[Adaptable, Rows]]:
    """`adapt_to` for V videos of one size in one program, spread over devices.

    Results are those of `adapt_to` up to rounding, whichever videos are together. The features of
    all videos are in memory at once, and a device that holds several videos needs the memory of
    the adaptation several times.

    Args:
        model: as in `adapt_to`.
        warm_ups: per video, stage A's result.
        targets: per video, as in `adapt_to`.
        settings: as in `adapt_to`.
        devices: to spread the videos over.

    Returns:
        per video, what `adapt_to` returns, on the default device.
    """
    taught = [v for v, own in enumerate(targets) if any(target is not None for target in own)]
    if len(taught) < 2:
        every = zip(warm_ups, targets, strict=True)
        return [adapt_to(model, warm_up, own, settings) for warm_up, own in every]
    mesh = video_mesh(devices)
    length, objects = padded_sizes([targets[v] for v in taught], settings.least_frames)
    start = _new_state(model, objects, settings, "")
    states = [start._replace(key=random_key(settings, warm_ups[v].name)) for v in taught]
    padded = [
        jax.device_put(
            pad_warm_up(warm_ups[v].features, targets[v], warm_ups[v].size, length, objects),
            home(place, len(taught), mesh),
        )
        for place, v in enumerate(taught)
    ]
    recomputed = settings.stochastic_depth > 0
    spread_states, spread_warm_ups = spread(states, mesh), spread(padded, mesh)
    encoder = on_every_device(model.encoder, mesh) if recomputed else unused(model.encoder)
    hyper = on_every_device(settings.hyperparameters(), mesh)
    with jax.transfer_guard("disallow"):
        state, losses = adaptation.adapt_to_videos(
            spread_states,
            model.graph,
            encoder,
            spread_warm_ups,
            hyper,
            settings.compiled(warm_ups[0].input_size),
            settings.iters,
            mesh,
        )
    results: list[tuple[Adaptable, Rows]] = [(model.network, []) for _ in warm_ups]
    for v, (live, own) in zip(taught, fetch((state.live, losses), len(taught)), strict=True):
        taken = [t for t, target in enumerate(targets[v]) if target is not None]
        rows = _loss_rows(own, taken, length, settings.iters)
        results[v] = jax.tree.map(jnp.asarray, live), rows
    return results


def adapt_under_settings(
    model: Model, warm_up: WarmUp, targets: Sequence[Targets], settings: Sequence[Settings]
) -> list[tuple[Adaptable, Rows]]:
    """`adapt_to` under K settings that differ in learning rates, momentum and the vote only.

    Args:
        model: as in `adapt_to`.
        warm_up: as in `adapt_to`.
        targets: per setting, the targets of every warm-up frame.
        settings: the K settings.

    Returns:
        per setting, what `adapt_to` returns.
    """
    taken = [t for t, target in enumerate(targets[0]) if target is not None]
    if not taken:
        return [(model.network, [])] * len(settings)
    length, objects = padded_sizes(targets, settings[0].least_frames)
    padded = [pad_targets(own, warm_up.size, length, objects) for own in targets]
    labels, object_ids, has_target = zip(*padded, strict=True)
    features = pad_features(warm_up.features, length)  # once, however many settings there are
    numbers = [own.hyperparameters() for own in settings]
    hyper = jax.tree.map(lambda *x: jnp.array(x), *numbers)
    start = _new_state(model, objects, settings[0], warm_up.name)
    several = adaptation.TaughtFrames(
        features, jnp.stack(labels), jnp.stack(object_ids), has_target[0]
    )
    with jax.transfer_guard("disallow"):
        state, losses = adaptation.adapt_under_settings(
            start,
            model.graph,
            model.encoder,
            several,
            hyper,
            settings[0].compiled(warm_up.input_size),
            settings[0].iters,
        )
    iters = settings[0].iters
    return [
        (live, _loss_rows(own, taken, length, iters))
        for live, own in (
            jax.tree.map(lambda x, k=k: x[k], (state.live, losses)) for k in range(len(settings))
        )
    ]


def _new_state(model: Model, objects: int, settings: Settings, name: str):
    key = random_key(settings, name)
    return adaptation.new_state(model.network, objects, key, settings.train)


def _loss_rows(losses, taken: Sequence[int], length: int, iters: int) -> Rows:
    values = {name: np.asarray(column) for name, column in losses.columns().items()}
    return [
        {"pass": i, "frame": t} | {n: float(v[i * length + t]) for n, v in values.items()}
        for i in range(iters)
        for t in taken
    ]

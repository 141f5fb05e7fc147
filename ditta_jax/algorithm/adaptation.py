"""Stage C: adapt a student to one video, as one compiled scan over its frames.

The state goes through `iters` passes over the warm-up frames, one AdamW step per frame (Eq. 8).
Shapes are static: frames without a target and padded frames are steps that change nothing.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree, UInt8

from ditta_jax.algorithm import contrast
from ditta_jax.algorithm.branches import clip_features, live_branches, momentum_branch
from ditta_jax.algorithm.contrast import Prototypes
from ditta_jax.algorithm.losses import cross_entropy, momentum_reliability
from ditta_jax.algorithm.optimiser import Hyperparameters, adamw, averaged, norm_of_moving
from ditta_jax.algorithm.video_mesh import AXIS
from ditta_jax.students.parts import Adaptable, embedding_width, join_student, remembered
from ditta_jax.students.platform import platform

TERMS = ("plain", "fused", "contrast")  # of Eq. 8: both cross entropies and Eq. 7


class AdaptationSettings(NamedTuple):
    """Constants of a compiled adaptation: they choose what is computed.

    Attributes:
        input_size: (Hi, Wi).
        train: which parameters move, one of `groups.GROUPS`; the student must have been split
            for it.
        loss_on: "probabilities" (as released) or "logits".
        dropout: rate of the channel dropout.
        stochastic_depth: of the frozen encoder; above 0 it is recomputed at each step.
        temperature: of the contrastive loss.
        terms: of the loss, of `TERMS`; the others are not computed.
        gradient_norm: whether the gradient's norm is told beside the losses.
    """

    input_size: tuple[int, int]
    train: str = "decoder"
    loss_on: str = "probabilities"
    dropout: float = 0.1
    stochastic_depth: float = 0.0
    temperature: float = 1.0
    terms: tuple[str, ...] = TERMS
    gradient_norm: bool = False


class TaughtFrames(NamedTuple):
    """A video's warm-up frames and their targets.

    Attributes:
        features: the encoder's, each Float[Array, "T _h _w _c"]; with stochastic depth, and where
            the encoder adapts, the normalised frames Float[Array, "T Hi Wi 3"].
        labels: UInt8[Array, "T H W"], distillation labels, 255 ignored.
        object_ids: UInt8[Array, "T H W"], 0 for none.
        has_target: Bool[Array, "T"]; frames without one are skipped.
    """

    features: PyTree
    labels: UInt8[Array, "T H W"]
    object_ids: UInt8[Array, "T H W"]
    has_target: Bool[Array, " T"]


class AdaptationState(NamedTuple):
    """Everything that is carried from step to step; donated to the scan."""

    live: Adaptable
    momentum: Adaptable
    optimiser: optax.OptState
    prototypes: Prototypes
    key: PRNGKeyArray


class StepLosses(NamedTuple):
    """Losses of one step; NaN where the step has no such term (or was skipped).

    The gradient's norm is None, and computed by no program, unless it is asked for.
    """

    distill: Float[Array, ""]
    distill_fused: Float[Array, ""]
    contrast: Float[Array, ""]
    total: Float[Array, ""]
    gradient_norm: Float[Array, ""] | None = None

    def columns(self) -> dict[str, Float[Array, "..."]]:
        """What there is, by name."""
        return {name: value for name, value in self._asdict().items() if value is not None}


# ---------------------------------------------------------------------------- the whole scan


def new_state(
    network: Adaptable, objects: int, key: PRNGKeyArray, train: str = "decoder"
) -> AdaptationState:
    """The state before the first step: the momentum network is a copy, no object was seen.

    Args:
        network: what may adapt.
        objects: most that a frame of the video shows.
        key: of everything random.
        train: as in `AdaptationSettings`.
    """
    dtype = jax.tree.leaves(network.params)[0].dtype
    vectors = jnp.zeros((objects, embedding_width(network)), dtype)
    memory = Prototypes(vectors, jnp.zeros(objects, bool))
    live, momentum = (jax.tree.map(jnp.copy, network) for _ in range(2))  # both are donated
    moments = adamw(Hyperparameters(), train).init(network.params)
    return AdaptationState(live, momentum, moments, memory, key)


@functools.partial(jax.jit, static_argnames=("graph", "settings", "iters"), donate_argnums=0)
def adapt(
    state: AdaptationState,
    graph: nnx.GraphDef,
    encoder: nnx.State,
    warm_up: TaughtFrames,
    hyper: Hyperparameters,
    settings: AdaptationSettings,
    iters: int,
) -> tuple[AdaptationState, StepLosses]:
    """Adapt to one video: `iters` passes over its warm-up frames.

    Args:
        state: donated.
        graph: structure of the student.
        encoder: the frozen encoder's weights; used with stochastic depth only.
        warm_up: frames and targets, padded to any length.
        hyper: traced settings.
        settings: static settings.
        iters: passes.

    Returns:
        the state after the last step, and the losses, Float[Array, "iters·T"] each.
    """
    return _scan(state, graph, encoder, warm_up, hyper, settings, iters)


@functools.partial(
    jax.jit, static_argnames=("graph", "settings", "iters", "mesh"), donate_argnums=0
)
def adapt_to_videos(
    state: AdaptationState,
    graph: nnx.GraphDef,
    encoder: nnx.State,
    warm_up: TaughtFrames,
    hyper: Hyperparameters,
    settings: AdaptationSettings,
    iters: int,
    mesh: Mesh,
) -> tuple[AdaptationState, StepLosses]:
    """Adapt to V videos of one size in one program; equals V calls of `adapt`.

    Each video is computed by the device that holds it, and no device waits for another: the
    compiled program has no collectives.

    Args:
        state: with a leading V; donated.
        graph: as in `adapt`.
        encoder: as in `adapt`; on every device of the mesh.
        warm_up: with a leading V; padded to common lengths.
        hyper: as in `adapt`.
        settings: as in `adapt`.
        iters: as in `adapt`.
        mesh: of `video_mesh.video_mesh`; V is a multiple of its size.

    Returns:
        states and losses, with a leading V.
    """

    def one(state, encoder, warm_up, hyper):
        return _scan(state, graph, encoder, warm_up, hyper, settings, iters)

    # Divided here and not by the compiler, which fails at convolutions of the encoder (stochastic
    # depth). Everything that a step changes varies over the axis: nothing to check.
    own, shared = PartitionSpec(AXIS), PartitionSpec()
    several = jax.shard_map(
        jax.vmap(one, in_axes=(0, None, 0, None)),
        mesh=mesh,
        in_specs=(own, shared, own, shared),
        out_specs=own,
        check_vma=False,
    )
    return several(state, encoder, warm_up, hyper)


@functools.partial(jax.jit, static_argnames=("graph", "settings", "iters"))
def adapt_under_settings(
    state: AdaptationState,
    graph: nnx.GraphDef,
    encoder: nnx.State,
    warm_up: TaughtFrames,
    hyper: Hyperparameters,
    settings: AdaptationSettings,
    iters: int,
) -> tuple[AdaptationState, StepLosses]:
    """Adapt to one video under K settings in one program; equals K calls of `adapt`.

    Args:
        state: of one setting; all start from it, random key included.
        graph: as in `adapt`.
        encoder: as in `adapt`.
        warm_up: features and `has_target` of the video; labels and object ids with a leading K,
            since settings of the vote change them.
        hyper: every number with a leading K.
        settings: as in `adapt`.
        iters: as in `adapt`.

    Returns:
        states and losses, with a leading K.
    """

    def one(setting):
        labels, object_ids, hyper = setting
        own = warm_up._replace(labels=labels, object_ids=object_ids)
        return _scan(state, graph, encoder, own, hyper, settings, iters)

    return map_settings(one, (warm_up.labels, warm_up.object_ids, hyper))


def map_settings(f: Callable, settings: PyTree) -> PyTree:
    """Map `f` over the leading K of `settings`: one after another on a CPU, elsewhere at once.

    A CPU is busy with one setting, and its caches hold the blocks of one.
    """
    if platform() == "cpu":
        return jax.lax.map(f, settings)
    return jax.vmap(f)(settings)


def _scan(state, graph, encoder, warm_up, hyper, settings, iters):
    step = functools.partial(_step, graph, encoder, warm_up, hyper, settings)
    skip = functools.partial(_skip, settings.gradient_norm)

    def scan_step(state, t):
        return jax.lax.cond(warm_up.has_target[t], step, skip, state, t)

    T = warm_up.has_target.shape[0]
    return jax.lax.scan(scan_step, state, jnp.tile(jnp.arange(T), iters))


def _skip(
    gradient_norm: bool, state: AdaptationState, t: Int[Array, ""]
) -> tuple[AdaptationState, StepLosses]:
    nan = jnp.full((), jnp.nan, state.prototypes.vectors.dtype)
    return state, StepLosses(nan, nan, nan, nan, nan if gradient_norm else None)


# ---------------------------------------------------------------------------- one step


@jax.named_scope("stage_c")
def _step(graph, encoder, warm_up, hyper, settings, state, t):
    """One AdamW step on the clip of frames t−1 and t (frame 0: alone)."""
    key, *draws = jax.random.split(state.key, 5)
    has_previous = t > 0
    frames = jnp.maximum(t - 1, 0), t
    weight = jnp.stack([has_previous, jnp.ones_like(has_previous)])
    label, ids = warm_up.labels[t], warm_up.object_ids[t]

    # momentum network: embedding, projection and plain logits of the current frame, no gradient
    pair = jax.tree.map(lambda x: jnp.stack([x[i] for i in frames]), warm_up.features)
    clip = functools.partial(clip_features, pair)
    teacher = join_student(graph, encoder, state.momentum)
    mean_features = clip(teacher, state.momentum, weight, draws[0], settings)
    u, z = momentum_branch(teacher, mean_features, weight, draws[1], settings)
    rho = momentum_reliability(z, label.shape, settings.input_size)
    memory, present = contrast.object_prototypes(u, rho, ids, state.prototypes)
    fuses, contrasts = "fused" in settings.terms, "contrast" in settings.terms

    def loss(params):
        network = state.live._replace(params=params)
        student = join_student(graph, encoder, network)
        features = clip(student, network, weight, draws[2], settings)
        z, fused, u = live_branches(student, features, weight, draws[3], settings)
        ce = functools.partial(
            cross_entropy, label=label, input_size=settings.input_size, on=settings.loss_on
        )
        nothing = jnp.zeros((), state.prototypes.vectors.dtype)
        distill = ce(z) if "plain" in settings.terms else nothing
        distill_fused = jnp.where(has_previous, ce(fused), 0.0) if fuses else nothing
        apart = nothing
        if contrasts:
            apart = contrast.contrastive_loss(u, memory.vectors, present, ids, settings.temperature)
        total = distill + distill_fused + apart
        losses = StepLosses(distill, distill_fused, apart, total)
        return total, (losses, remembered(student, network))

    gradient, (losses, statistics) = jax.grad(loss, has_aux=True)(state.live.params)
    has_objects = present.any()
    never = jnp.zeros((), bool)
    active = {
        "fusion": has_previous if fuses else never,
        "projection": has_objects if contrasts else never,
    }
    # optax takes powers of floats by counts
    with jax.named_scope("optimiser"), jax.numpy_dtype_promotion("standard"):
        updates, optimiser = adamw(hyper, settings.train).update(
            gradient, state.optimiser, state.live.params, active=active
        )
        params = optax.apply_updates(state.live.params, updates)
    live = Adaptable(params, statistics)
    mean = averaged(state.momentum.params, params, hyper)
    momentum = Adaptable(mean, remembered(teacher, state.momentum))
    if settings.gradient_norm:
        losses = losses._replace(gradient_norm=norm_of_moving(gradient, settings.train))
    told = _told(losses, active, settings)
    return AdaptationState(live, momentum, optimiser, memory, key), told


def _told(losses, active, settings):
    """The losses with NaN for terms that the step does not have."""
    if "plain" not in settings.terms:
        losses = losses._replace(distill=jnp.full_like(losses.total, jnp.nan))
    return losses._replace(
        distill_fused=jnp.where(active["fusion"], losses.distill_fused, jnp.nan),
        contrast=jnp.where(active["projection"], losses.contrast, jnp.nan),
    )

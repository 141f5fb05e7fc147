"""How weights move: AdamW, group by group as torch steps it, and the momentum network's average."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, PyTree


class Hyperparameters(NamedTuple):
    """Numbers that may be traced, so that one program adapts under many of them.

    Attributes:
        lr: learning rate of AdamW; beta1, beta2, eps, weight_decay likewise.
        momentum: share of itself that the momentum network keeps at each step.
    """

    lr: float | Float[Array, ""] = 1e-3
    beta1: float | Float[Array, ""] = 0.9
    beta2: float | Float[Array, ""] = 0.999
    eps: float | Float[Array, ""] = 1e-8
    weight_decay: float | Float[Array, ""] = 1e-2
    momentum: float | Float[Array, ""] = 0.99


class AdamState(NamedTuple):
    """AdamW moments of a parameter group.

    torch steps only parameters that have a gradient, and counts each one's steps. The fusion has
    none at frame 0, the projection head none on frames without objects, so groups count apart.
    """

    first: PyTree
    second: PyTree
    steps: Int[Array, ""]


def no_moments(params: PyTree) -> dict[str, AdamState]:
    """States of all groups before the first step."""

    def zeros(group):
        return jax.tree.map(jnp.zeros_like, group)

    return {
        name: AdamState(zeros(group), zeros(group), jnp.zeros((), jnp.int32))
        for name, group in _groups(params).items()
    }


def averaged(mean: PyTree, params: PyTree, hyper: Hyperparameters) -> PyTree:
    """Parameters of the momentum network after a step that led to `params`."""
    return optax.incremental_update(params, mean, 1 - hyper.momentum)


def _groups(params: PyTree) -> dict[str, PyTree]:
    """Parameters by what gives them a gradient: fusion, projection head, and the rest."""
    decoder = dict(params["decoder"])
    return {
        "projection": decoder.pop("projection"),
        "rest": decoder,
        "fusion": params["fusion"],
    }


def _ungroup(groups: dict[str, PyTree]) -> PyTree:
    return {
        "decoder": {**groups["rest"], "projection": groups["projection"]},
        "fusion": groups["fusion"],
    }


def adamw(
    gradient: PyTree,
    states: dict[str, AdamState],
    params: PyTree,
    active: dict[str, bool | Bool[Array, ""]],
    hyper: Hyperparameters,
    train: str,
) -> tuple[PyTree, dict[str, AdamState]]:
    """One AdamW step of the groups that are active; the others keep value, moments and count.

    Args:
        gradient: like `params`.
        states: of `no_moments`, or of the step before.
        params: tree with the top keys "decoder" and "fusion".
        active: per group, whether it has a gradient in this step.
        hyper: learning rate and the rest.
        train: which parameters move: "decoder" (all), "classifier" or "addon".

    Returns:
        parameters and states after the step.
    """
    gradients, values = _groups(gradient), _groups(params)
    new_values, new_states = {}, {}
    for name, value in values.items():
        state = states[name]
        optimiser = optax.chain(
            optax.scale_by_adam(hyper.beta1, hyper.beta2, hyper.eps),
            optax.add_decayed_weights(hyper.weight_decay),
            optax.scale(-1.0),
        )
        inner = optax.ScaleByAdamState(state.steps, state.first, state.second)
        updates, (inner, *_) = optimiser.update(
            gradients[name], (inner, optax.EmptyState(), optax.EmptyState()), value
        )
        moved = jax.tree.map(lambda v, u: v + hyper.lr * u, value, updates)
        moved = _only_trained(name, moved, value, train)
        on = active[name]
        keep = functools.partial(jax.tree.map, lambda new, old, on=on: jnp.where(on, new, old))
        new_values[name] = keep(moved, value)
        new_states[name] = keep(AdamState(inner.mu, inner.nu, inner.count), state)
    return _ungroup(new_values), new_states


def _only_trained(name: str, moved: PyTree, value: PyTree, train: str) -> PyTree:
    """Put back parameters outside the trained set."""
    if train == "decoder" or (train == "addon" and name == "fusion"):
        return moved
    if train == "classifier" and name == "rest":
        return {**value, "classifier": moved["classifier"]}
    return value

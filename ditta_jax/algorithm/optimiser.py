"""How weights move: AdamW, group by group as torch steps it, and the momentum network's average."""

import functools
from typing import NamedTuple

import jax
import optax
from jaxtyping import Array, Float, PyTree

from ditta_jax.students.groups import GROUPS, members, path_of


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


def adamw(hyper: Hyperparameters, train: str) -> optax.GradientTransformationExtraArgs:
    """AdamW for the parameters of a group; all others have no moments and stay.

    torch steps only parameters that have a gradient, and counts each one's steps. The fusion has
    none at frame 0, the projection head none on frames without objects: `update` takes
    `active = {"fusion": …, "projection": …}`, and what is not active keeps value, moments and
    count.

    Args:
        hyper: learning rate and the rest; the structure of the state does not depend on it.
        train: name of the group (`students.groups`).
    """
    moves = optax.chain(
        optax.scale_by_adam(hyper.beta1, hyper.beta2, hyper.eps),
        optax.add_decayed_weights(hyper.weight_decay),
        optax.scale_by_learning_rate(hyper.lr),
    )

    def where_active(part: str) -> optax.GradientTransformationExtraArgs:
        def is_active(step, active, **_):
            return active[part]

        return optax.conditionally_mask(moves, is_active, forward_extra_args=True)

    transforms = {
        "fusion": where_active("fusion"),
        "projection": where_active("projection"),
        "rest": moves,
        "still": optax.set_to_zero(),
    }
    return optax.partition(transforms, functools.partial(_parts, train))


def norm_of_moving(gradient: PyTree, train: str) -> Float[Array, ""]:
    """Euclidean norm of the gradient of all parameters of a group together."""
    moving = jax.tree.map(lambda g, moves: g if moves else None, gradient, members(gradient, train))
    return optax.tree.norm(moving)


def _parts(train: str, params: PyTree) -> PyTree:
    """Each parameter's place in `adamw`: by what gives it a gradient, or "still"."""

    def part(keys, _):
        path = path_of(keys)
        if not GROUPS[train](path):
            return "still"
        return next((name for name in ("fusion", "projection") if name in path), "rest")

    return jax.tree_util.tree_map_with_path(part, params)


@jax.named_scope("optimiser")
def averaged(mean: PyTree, params: PyTree, hyper: Hyperparameters) -> PyTree:
    """Parameters of the momentum network after a step that led to `params`."""
    return optax.incremental_update(params, mean, 1 - hyper.momentum)

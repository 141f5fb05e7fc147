"""DiTTA that falls back to the frozen student once the scene is another than it learnt.

A warm-up that does not stand for the rest of the video is the known weakness of
warm-up-then-freeze: weights adapted to one scene label another. A cut is found in the frozen
student's own labels (`scene_cuts`); from there on its labels count, up to the end of the video. Not
of the paper.
"""

import dataclasses
from typing import ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ditta_jax.algorithm import inference, scene_cuts
from ditta_jax.algorithm.model import Model
from ditta_jax.methods import ditta
from ditta_jax.methods.protocol import Frame, Prepared, Scene, WarmUp
from ditta_jax.students.parts import join_student


class State(NamedTuple):
    """What stage D carries.

    Attributes:
        adapted: of DiTTA.
        shares: of the classes in the frame before, as the frozen student labels it.
        cut: whether there was a cut.
    """

    adapted: ditta.State
    shares: Float[Array, " C"]
    cut: Bool[Array, ""]


@dataclasses.dataclass(frozen=True)
class DittaCuts(ditta.Ditta):
    """DiTTA up to the first cut after the warm-up, the frozen student behind it.

    Attributes:
        distance: between the class shares of two frames above which a cut lies between them.
    """

    name: ClassVar[str] = "ditta_cuts"
    title: ClassVar[str] = "DiTTA, frozen after a cut"

    distance: float = 0.3

    def prepared(self, model: Model, warm_up: WarmUp, targets: ditta.Targets, adapted) -> Prepared:
        """As DiTTA, and what the last frame before the scored ones looks like."""
        prepared = super().prepared(model, warm_up, targets, adapted)
        before = jnp.asarray(warm_up.labels[0 if warm_up.scored else -1])
        shares = scene_cuts.class_shares(before, model.num_classes)
        return prepared._replace(state=State(prepared.state, shares, jnp.asarray(False)))

    def step(self, scene: Scene, state, frame: Frame):
        """Label a frame by both, and take DiTTA's labels as long as there was no cut."""
        adapted, label = super().step(scene, state.adapted, frame)
        student = join_student(scene.graph, scene.encoder, scene.network)
        plain = inference.label_frame(student, frame.features, *scene.fixed[:2])
        shares = scene_cuts.class_shares(plain, len(state.shares))
        cut = state.cut | (scene_cuts.distance(state.shares, shares) > self.distance)
        return State(adapted, shares, cut), jnp.where(cut, plain, label)


METHOD = DittaCuts()

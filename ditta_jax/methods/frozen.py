"""The frozen student, frame by frame: what every other method is measured against."""

import dataclasses
from typing import ClassVar

from ditta_jax.algorithm import inference
from ditta_jax.algorithm.model import Model
from ditta_jax.algorithm.settings import Settings
from ditta_jax.methods.protocol import Frame, Method, Prepared, Scene, WarmUp
from ditta_jax.students.parts import join_student


@dataclasses.dataclass(frozen=True)
class Frozen(Method):
    """Argmax of the plain branch; nothing is learnt and nothing remembered."""

    name: ClassVar[str] = "frozen"
    title: ClassVar[str] = "frozen student"

    def draws(self, settings: Settings) -> bool:
        """Nothing."""
        return False

    def prepare(self, model: Model, warm_up: WarmUp, settings: Settings) -> Prepared:
        """Nothing to learn."""
        return Prepared(())

    def step(self, scene: Scene, state, frame: Frame):
        """Label a frame by itself."""
        student = join_student(scene.graph, scene.encoder, scene.network)
        return state, inference.label_frame(student, frame.features, *scene.fixed[:2])


METHOD = Frozen()

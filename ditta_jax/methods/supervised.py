"""Fully supervised: student and fusion are trained on labelled clips beforehand, and stay so.

What test-time adaptation is measured against from above: Kim, Kwon, Kweon, Yoon (CVPR 2026) set
DiTTA beside networks that were trained on whole labelled videos (CFFM++ and others). Those bring
architectures of their own. Chosen here: DiTTA's, so that the training alone differs; `python -m
ditta_jax.pretrain` with `train.clips` trains it by the cross entropy of both branches, and each
frame is labelled by Eq. 3 as DiTTA does it, without an adaptation. `student.supervised` names it.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from ditta_jax.algorithm import inference
from ditta_jax.algorithm.model import Model
from ditta_jax.algorithm.settings import Settings
from ditta_jax.methods import ditta
from ditta_jax.methods.protocol import IMAGES, TRAINED, Frame, Method, Prepared, Scene, WarmUp

_NO_OTHER: nnx.State = nnx.State({})  # encoder: the trained network brings its own


@dataclasses.dataclass(frozen=True)
class Supervised(Method):
    """Eq. 3 by a student that was trained for it."""

    name: ClassVar[str] = "supervised"
    title: ClassVar[str] = "supervised"
    needs: ClassVar[frozenset[str]] = frozenset({IMAGES, TRAINED})

    def draws(self, settings: Settings) -> bool:
        """Nothing."""
        return False

    def prepare(self, model: Model, warm_up: WarmUp, settings: Settings) -> Prepared:
        """Nothing to learn; the frame before the first is looked at."""
        assert warm_up.trained is not None and warm_up.images is not None
        parts = model.graph, _NO_OTHER, warm_up.trained
        features = inference.encode(*parts, jnp.asarray(warm_up.images[-1])[None])
        last = jax.tree.map(lambda x: x[0], features)
        before = inference.previous_frame(*parts, last, exists=not warm_up.scored)
        return Prepared(ditta.State(warm_up.trained, before))

    def step(self, scene: Scene, state: ditta.State, frame: Frame):
        """Eq. 3."""
        return ditta.METHOD.step(scene._replace(encoder=_NO_OTHER), state, frame)


METHOD = Supervised()

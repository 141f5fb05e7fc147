"""AuxAdapt: beside a frozen network a small one learns from what both together decide.

Zhang, Borse, Cai, Porikli: "AuxAdapt: Stable and Efficient Test-Time Adaptation for Temporally
Consistent Video Semantic Segmentation", WACV 2022 (arXiv 2110.12369). The logits of an auxiliary
network are added to those of the main one, which stays frozen; the argmax of the sum is the label,
and what the auxiliary learns from, by one step of cross entropy a frame.

Chosen here: the paper's auxiliary is a small network that was trained as the main one was. A run
has one student, so the auxiliary is a copy of its decoder, on the features of the frozen encoder:
trained alike, and without a second encoder. At the start both agree, and the sum's argmax is the
frozen student's. Cross entropy is taken of the auxiliary's own logits, on their grid, a quarter of
the input's; its BatchNorms keep their statistics; a frame is labelled before the step that is
learnt from it. The paper's optimiser and learning rate could not be seen: SGD with momentum 0.9 at
0.1, of rates from 1e-4 to 0.5 and of Adam's from 1e-5 to 1e-3, for its mIoU on the demo's split
video_val (0.2 is level with it, and does more harm where it does harm); no weight decay.
"""

import dataclasses
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Float, PyTree

from ditta_jax.algorithm import inference
from ditta_jax.algorithm.model import Model, fault_of_weights
from ditta_jax.algorithm.settings import Settings
from ditta_jax.methods import one_step
from ditta_jax.methods.protocol import Frame, Method, Prepared, Scene, WarmUp
from ditta_jax.students.parts import Adaptable, join_student


class State(NamedTuple):
    """The auxiliary's weights and the optimiser's moments.

    Attributes:
        decoder: parameters of the copy of the student's decoder.
        moments: of the optimiser.
    """

    decoder: PyTree
    moments: optax.OptState


@dataclasses.dataclass(frozen=True)
class AuxAdapt(Method):
    """A copy of the decoder learns beside the frozen student.

    Attributes:
        lr: learning rate.
        optimiser: "adam", or "sgd" with momentum 0.9.
    """

    lr: float = 0.1
    optimiser: str = "sgd"

    name: ClassVar[str] = "auxadapt"
    title: ClassVar[str] = "AuxAdapt"
    can_learn_along: ClassVar[bool] = True

    def draws(self, settings: Settings) -> bool:
        """Nothing: the auxiliary starts as a copy, and dropout is off."""
        return False

    def prepare(self, model: Model, warm_up: WarmUp, settings: Settings) -> Prepared:
        """One step on each warm-up frame; none where these frames are to come again, online."""
        decoder = jax.tree.map(jnp.copy, model.network.params["decoder"])
        parts = model.graph, model.encoder, model.network

        def learn(state, features):
            return _learn(self, *parts, state, features)

        seen = one_step.features_to_learn_from(model, warm_up, settings)
        state, rows = one_step.walk(State(decoder, self._moves().init(decoder)), learn, seen)
        return Prepared(state, rows, kept_frozen=fault_of_weights(state.decoder))

    def step(self, scene: Scene, state: State, frame: Frame):
        """Label a frame by both networks, and learn from it where that goes on."""
        parts = scene.graph, scene.encoder, scene.network
        both = Both(*parts, state.decoder)
        label = inference.label_frame(both, frame.features, *scene.fixed[:2])
        if scene.fixed.online:
            state, _ = self.learn(*parts, state, frame.features)
        return state, label

    def learn(
        self,
        graph: nnx.GraphDef,
        encoder: nnx.State,
        network: Adaptable,
        state: State,
        features: PyTree[Float[Array, "_h _w _c"]],
    ) -> tuple[State, Float[Array, ""]]:
        """One step of the auxiliary on a frame; returns the loss before it."""

        def loss(decoder):
            main, auxiliary = Both(graph, encoder, network, decoder).logits(features)
            decided = jax.nn.one_hot(
                (main + auxiliary).argmax(-1), main.shape[-1], dtype=main.dtype
            )
            return -(decided * jax.nn.log_softmax(auxiliary)).sum(-1).mean()

        value, gradient = jax.value_and_grad(loss)(state.decoder)
        stepped = one_step.stepped(self._moves(), state.decoder, gradient, state.moments)
        return State(*stepped), value

    def _moves(self) -> optax.GradientTransformation:
        return one_step.optimiser_of(self.optimiser, self.lr)


METHOD = AuxAdapt()


class Both:
    """Main and auxiliary network as one image model: its "embedding" is the pair of theirs."""

    def __init__(
        self, graph: nnx.GraphDef, encoder: nnx.State, network: Adaptable, decoder: PyTree
    ) -> None:
        params = {**network.params, "decoder": decoder}
        self._main = join_student(graph, encoder, network)
        self._auxiliary = join_student(graph, encoder, network._replace(params=params))

    def embed(self, features: PyTree) -> Float[Array, "1 h w 2D"]:
        """Both embeddings of one frame, side by side."""
        return jnp.concatenate([own.embed(features) for own in self._students], axis=-1)

    def classify(self, f: Float[Array, "1 h w 2D"]) -> Float[Array, "1 h w C"]:
        """The sum of both logits."""
        main, auxiliary = self._classified(f)
        return main + auxiliary

    def logits(
        self, features: PyTree[Float[Array, "_h _w _c"]]
    ) -> tuple[Float[Array, "h w C"], Float[Array, "h w C"]]:
        """The main network's and the auxiliary's logits of one frame."""
        main, auxiliary = self._classified(self.embed(jax.tree.map(lambda x: x[None], features)))
        return main[0], auxiliary[0]

    def _classified(self, f):
        halves = jnp.split(f, 2, axis=-1)
        return tuple(o.classify(half) for o, half in zip(self._students, halves, strict=True))

    @property
    def _students(self):
        return self._main, self._auxiliary


_learn = jax.jit(AuxAdapt.learn, static_argnums=(0, 1))

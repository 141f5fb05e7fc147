"""TENT: normalisation layers move so that the prediction becomes surer of itself.

Wang, Shelhamer, Liu, Olshausen, Darrell: "Tent: Fully Test-Time Adaptation by Entropy
Minimization", ICLR 2021. The mean entropy of the prediction is minimised, one step a frame, by the
affine parameters of normalisation layers only; BatchNorms normalise by the statistics of the
frame, in learning and afterwards. To the paper's letter these layers are BatchNorms; a SegFormer
has one, in its decoder, and its LayerNorms, which need no statistics, may move as well.

Chosen here: Adam at 1e-3 with the paper's β (0.9, 0.999) and no weight decay; the entropy is taken
on the grid of the logits, a quarter of the input's, since resizing would only blur it; a frame is
labelled by the forward pass that it is learnt from, before the step, as in the authors' protocol.
"""

import dataclasses
from collections.abc import Iterable
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
from ditta_jax.students.groups import GROUPS, path_of
from ditta_jax.students.parts import Adaptable, join_student
from ditta_jax.students.wide import wide_dtype

Names = tuple[tuple[str | int, ...], ...]


class State(NamedTuple):
    """Weights and the optimiser's moments: what one frame leaves to the next."""

    network: Adaptable
    moments: optax.OptState


@dataclasses.dataclass(frozen=True)
class Tent(Method):
    """Entropy minimisation in normalisation layers.

    Attributes:
        lr: learning rate.
        optimiser: "adam", or "sgd" with momentum 0.9.
        norms: "batch", the decoder's BatchNorms; or "all", every normalisation of the part that may
            adapt: the encoder's too where `Settings.train` takes that in ("norms", "all").
    """

    lr: float = 1e-3
    optimiser: str = "adam"
    norms: str = "batch"

    name: ClassVar[str] = "tent"
    title: ClassVar[str] = "TENT"
    can_learn_along: ClassVar[bool] = True

    def draws(self, settings: Settings) -> bool:
        """Nothing: dropout is off, and BatchNorms go by the frame."""
        return False

    def prepare(self, model: Model, warm_up: WarmUp, settings: Settings) -> Prepared:
        """One step on each warm-up frame; none where these frames are to come again, online."""
        names = self.moving(model.network)
        if not names:
            return Prepared((), kept_frozen="nothing was learnt: no such normalisation may adapt")
        network = jax.tree.map(jnp.copy, model.network)
        state = State(network, self._moves(names).init(network.params))

        def learn(state, seen):
            return _learn(self, model.graph, model.encoder, state, seen, names)

        seen: Iterable[PyTree]
        if moves_encoder(names):
            seen = one_step.images_to_learn_from(warm_up, settings)
        else:
            seen = one_step.features_to_learn_from(model, warm_up, settings)
        state, rows = one_step.walk(state, learn, seen)
        return Prepared(state, rows, state.network, fault_of_weights(state.network))

    def step(self, scene: Scene, state: State, frame: Frame):
        """Label a frame by its own statistics, and learn from it where that goes on."""
        names = self.moving(state.network)
        student = OwnStatistics(join_student(scene.graph, scene.encoder, state.network))
        seen = frame.image if moves_encoder(names) else frame.features
        features = student.encode(seen) if moves_encoder(names) else seen
        label = inference.label_frame(student, features, scene.fixed.size, scene.fixed.input_size)
        if scene.fixed.online:
            state, _ = self.learn(scene.graph, scene.encoder, state, seen, names)
        return state, label

    def learn(
        self, graph: nnx.GraphDef, encoder: nnx.State, state: State, seen: PyTree, names: Names
    ) -> tuple[State, Float[Array, ""]]:
        """Take one step on the entropy of a frame.

        Args:
            graph: structure of the student.
            encoder: its frozen encoder; empty where it may adapt.
            state: before the step.
            seen: features of the frame, or the encoder's input where the encoder moves.
            names: paths of the normalisations that move.

        Returns:
            the state after the step, and the entropy before it.
        """

        def entropy(params):
            network = state.network._replace(params=params)
            student = OwnStatistics(join_student(graph, encoder, network))
            features = student.encode(seen) if moves_encoder(names) else seen
            return mean_entropy(student, features)

        value, gradient = jax.value_and_grad(entropy)(state.network.params)
        moves = self._moves(names)
        params, moments = one_step.stepped(moves, state.network.params, gradient, state.moments)
        return State(state.network._replace(params=params), moments), value

    def moving(self, network: Adaptable) -> Names:
        """Paths of the normalisations whose scale and bias move."""
        if self.norms == "all":
            leaves = jax.tree_util.tree_leaves_with_path(network.params)
            paths = {path_of(keys) for keys, _ in leaves}
            return tuple(sorted({path[:-1] for path in paths if GROUPS["norms"](path)}))
        # BatchNorms are where running statistics are.
        leaves = jax.tree_util.tree_leaves_with_path(network.statistics)
        norms = {path_of(keys)[:-1] for keys, _ in leaves}
        return tuple(sorted(path for path in norms if path[0] != "encoder"))

    def _moves(self, names: Names) -> optax.GradientTransformation:
        """The optimiser of the affine parameters; all others stay."""
        moves = one_step.optimiser_of(self.optimiser, self.lr)

        def label(keys, _):
            path = path_of(keys)
            return "moves" if path[:-1] in names and path[-1] in ("scale", "bias") else "still"

        labels = lambda params: jax.tree_util.tree_map_with_path(label, params)  # noqa: E731
        return optax.partition({"moves": moves, "still": optax.set_to_zero()}, labels)


METHOD = Tent()


class OwnStatistics:
    """A student whose BatchNorms normalise each frame by its own statistics."""

    def __init__(self, student) -> None:
        self._student = student

    def encode(self, image: Float[Array, "Hi Wi 3"]) -> PyTree:
        """Features [h, w, c] of one frame."""
        return jax.tree.map(lambda x: x[0], self._student.encode(image[None], weight=jnp.ones(1)))

    def embed(self, features: PyTree) -> Float[Array, "1 h w D"]:
        """The embedding of one frame."""
        return self._student.embed(features, jnp.ones(1))

    def classify(self, f: Float[Array, "1 h w D"]) -> Float[Array, "1 h w C"]:
        """Logits of the embedding."""
        return self._student.classify(f)


def mean_entropy(student: OwnStatistics, features: PyTree) -> Float[Array, ""]:
    """Mean over positions of the entropy (nat) of softmax(z), of a frame of features [h, w, c]."""
    f = student.embed(jax.tree.map(lambda x: x[None], features))
    z = student.classify(f)[0]
    log_p = jax.nn.log_softmax(z.astype(wide_dtype(z)))
    return -(jnp.exp(log_p) * log_p).sum(-1).mean()


def moves_encoder(names: Names) -> bool:
    """Whether one of these normalisations is in the encoder."""
    return any(path[0] == "encoder" for path in names)


_learn = jax.jit(Tent.learn, static_argnums=(0, 1, 5))

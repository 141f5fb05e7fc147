"""CoTTA: a slow average of the network teaches it, and a few weights always return to the source.

Wang, Fink, Van Gool, Dai: "Continual Test-Time Domain Adaptation", CVPR 2022. On each frame:

    pseudo-label   probabilities of the teacher, on the frame where the source network is confident
                   (its mean highest probability reaches 0.69), else their mean over augmentations:
                   scales 0.5 … 2.0, each as it is and mirrored
    step           Adam on the cross entropy of the student with these soft labels
    teacher        ← 0.999 teacher + 0.001 student
    restore        each weight of the student returns to the source's with probability 0.01

The teacher's prediction is the result. The constants are those of the paper's segmentation
(SegFormer-B5 from Cityscapes to ACDC). Its learning rate is 7.5e-6; users report that 3e-4 is far
better, which its rivals' figures do not show (github.com/Yangsenqiao/vida, issue 4; RochelleNi/DAT,
issue 4): `cotta.lr`.

Chosen here: all three networks are in evaluation mode; confidence, labels and loss are taken on the
grid of the logits, a quarter of the input's, since resizing would only blur them; augmented inputs
have sides of whole multiples of 32; a frame is labelled before the step that is learnt from it, by
the teacher on the frame itself, so that a frozen video costs no augmentations. `cotta.params` names
the weights that move and return: all of them, the encoder's too, as the paper has it.
"""

import dataclasses
from collections.abc import Iterator
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from ditta_jax.algorithm import inference
from ditta_jax.algorithm.model import Model, fault_of_weights
from ditta_jax.algorithm.settings import Settings
from ditta_jax.methods import one_step
from ditta_jax.methods.protocol import IMAGES, Frame, Method, Prepared, Scene, WarmUp
from ditta_jax.students.groups import members
from ditta_jax.students.parts import Adaptable, join_student, split_student
from ditta_jax.students.resize import bilinear
from ditta_jax.students.student import Student
from ditta_jax.students.wide import wide

STRIDE = 32  # sides of an augmented input are multiples of it


class State(NamedTuple):
    """What one frame leaves to the next.

    Attributes:
        student: the network that steps.
        teacher: parameters of its average.
        moments: of Adam.
        key: draws which weights return to the source.
    """

    student: Adaptable
    teacher: PyTree
    moments: optax.OptState
    key: PRNGKeyArray


@dataclasses.dataclass(frozen=True)
class CoTTA(Method):
    """Averaged teacher, averaged augmentations, stochastic restoration.

    Attributes:
        lr: learning rate of Adam.
        params: group of parameters that move (`students.groups`).
        momentum: share of itself that the teacher keeps at each step.
        restore: probability that a weight returns to the source's.
        threshold: mean confidence of the source below which augmentations are averaged.
        scales: of the augmented inputs.
        flip: whether each scale is seen mirrored too.
    """

    lr: float = 7.5e-6
    params: str = "all"
    momentum: float = 0.999
    restore: float = 0.01
    threshold: float = 0.69
    scales: tuple[float, ...] = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)
    flip: bool = True

    name: ClassVar[str] = "cotta"
    title: ClassVar[str] = "CoTTA"
    needs: ClassVar[frozenset[str]] = frozenset({IMAGES})
    can_learn_along: ClassVar[bool] = True

    def draws(self, settings: Settings) -> bool:
        """Which weights return to the source."""
        return self.restore > 0

    def prepare(self, model: Model, warm_up: WarmUp, settings: Settings) -> Prepared:
        """One step on each warm-up frame; none where these frames are to come again, online."""
        assert warm_up.images is not None
        parts = model.graph, model.encoder, model.network
        source, _, _ = self._split(*parts)
        student = jax.tree.map(jnp.copy, source)
        moments = self._moves().init(student.params)
        key = one_step.random_key(settings, warm_up.name)
        start = State(student, jax.tree.map(jnp.copy, student.params), moments, key)
        again = one_step.come_again(warm_up, settings)

        def learn(state, image):
            return _learn(self, *parts, state, jnp.asarray(image))

        state, rows = one_step.walk(start, learn, [] if again else warm_up.images)
        taught = state.student._replace(params=state.teacher)
        return Prepared(state, rows, taught, fault_of_weights(taught))

    def step(self, scene: Scene, state: State, frame: Frame):
        """Label a frame by the teacher, and learn from it where that goes on."""
        parts = scene.graph, scene.encoder, scene.network
        _, graph, rest = self._split(*parts)
        teacher = join_student(graph, rest, state.student._replace(params=state.teacher))
        features = inference.encode_frame(teacher, frame.image)
        label = inference.label_frame(teacher, features, *scene.fixed[:2])
        if scene.fixed.online:
            state, _ = self.learn(*parts, state, frame.image)
        return state, label

    def learn(
        self,
        graph: nnx.GraphDef,
        encoder: nnx.State,
        network: Adaptable,
        state: State,
        image: Float[Array, "Hi Wi 3"],
    ) -> tuple[State, Float[Array, ""]]:
        """One step of student and teacher on a frame; returns the loss before it."""
        source, graph, rest = self._split(graph, encoder, network)

        def with_params(params: PyTree) -> Student:
            return join_student(graph, rest, state.student._replace(params=params))

        soft = self.pseudo_label(
            with_params(state.teacher), join_student(graph, rest, source), image
        )

        def loss(params):
            log_p = jax.nn.log_softmax(logits(with_params(params), image[None])[0])
            return -(soft * log_p).sum(-1).mean()

        value, gradient = jax.value_and_grad(loss)(state.student.params)
        params, moments = one_step.stepped(
            self._moves(), state.student.params, gradient, state.moments
        )
        teacher = optax.incremental_update(params, state.teacher, 1 - self.momentum)
        key, own = jax.random.split(state.key)
        params = restored(params, source.params, own, self.restore)
        return State(state.student._replace(params=params), teacher, moments, key), value

    def pseudo_label(
        self, teacher: Student, source: Student, image: Float[Array, "Hi Wi 3"]
    ) -> Float[Array, "h w C"]:
        """The teacher's probabilities, averaged over augmentations where the source is unsure."""
        confidence = jax.nn.softmax(logits(source, image[None])[0]).max(-1).mean()
        plain = jax.nn.softmax(logits(teacher, image[None])[0])

        def averaged():
            h, w, _ = plain.shape
            seen = list(self._augmented(teacher, image, (h, w)))
            return sum(seen[1:], start=seen[0]) / len(seen)

        return jax.lax.cond(confidence < self.threshold, averaged, lambda: plain)

    def _augmented(
        self, teacher: Student, image: Float[Array, "Hi Wi 3"], grid: tuple[int, int]
    ) -> Iterator[Float[Array, "h w C"]]:
        """The teacher's probabilities on each scale, on a grid; mean of as it is and mirrored."""
        for scale in self.scales:
            height, width = (
                max(STRIDE, round(side * scale / STRIDE) * STRIDE) for side in image.shape[:2]
            )
            scaled = bilinear(image, (height, width)).astype(image.dtype)
            both = jnp.stack([scaled, scaled[:, ::-1]]) if self.flip else scaled[None]
            p = jax.nn.softmax(bilinear(logits(teacher, both), grid))
            yield (p[0] + p[1][:, ::-1]) / 2 if self.flip else p[0]

    def _split(
        self, graph: nnx.GraphDef, encoder: nnx.State, network: Adaptable
    ) -> tuple[Adaptable, nnx.GraphDef, nnx.State]:
        """The source, taken apart by what moves here, whatever moves in the run's own group."""
        own, graph, rest = split_student(join_student(graph, encoder, network), self.params)
        return jax.tree.map(wide, own), graph, rest

    def _moves(self) -> optax.GradientTransformation:
        """Adam for the group's parameters; all others stay."""

        def labels(params):
            return jax.tree.map(lambda m: "moves" if m else "still", members(params, self.params))

        return optax.partition({"moves": optax.adam(self.lr), "still": optax.set_to_zero()}, labels)


METHOD = CoTTA()


def logits(student: Student, images: Float[Array, "b Hi Wi 3"]) -> Float[Array, "b h w C"]:
    """Logits of images in evaluation mode."""
    return student.classify(student.embed(student.encode(images)))


def restored(params: PyTree, source: PyTree, key: PRNGKeyArray, rate: float) -> PyTree:
    """Parameters of which each number is the source's with probability `rate`.

    One draw for all: a generator a leaf took more compilation than the rest of the step.
    """
    leaves, tree = jax.tree.flatten(params)
    ends = np.cumsum([leaf.size for leaf in leaves])
    every: Bool[Array, " n"] = jax.random.bernoulli(key, rate, (int(ends[-1]),))

    def one(x: Array, before: Array, returns: Bool[Array, " n"]) -> Array:
        return jnp.where(returns.reshape(x.shape), before, x)

    found = map(one, leaves, jax.tree.leaves(source), jnp.split(every, ends[:-1]))
    return jax.tree.unflatten(tree, list(found))


_learn = jax.jit(CoTTA.learn, static_argnums=(0, 1))

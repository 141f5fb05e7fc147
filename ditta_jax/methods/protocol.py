"""What a method is to everything outside `methods`: what it needs, a start, and a step per frame.

    prepare   what the warm-up teaches → state
    step      state, frame → state, labels      the body of one compiled scan over a video

A method that goes on learning carries its weights in the state. `registry` finds a method by the
name of its file; its fields, a frozen dataclass's, are its settings (`ranges.METHODS`).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PyTree, UInt8

from ditta_jax.algorithm.model import Model
from ditta_jax.algorithm.settings import Settings
from ditta_jax.algorithm.targets import MaskSource
from ditta_jax.ranges import METHODS, fit_fields
from ditta_jax.students.parts import Adaptable

IMAGES = "images"  # the encoder's input on the warm-up frames, to move the encoder's weights
MASKLETS = "masklets"  # the teacher's masks on the warm-up frames
TRACKS = "tracks"  # the teacher's masks on every frame of the video, from prompts on the first
TRAINED = "trained"  # a student whose temporal fusion was trained on labelled clips


class WarmUp(NamedTuple):
    """A video's first frames, as stage A leaves them.

    Attributes:
        name: of the video; random numbers depend on it and the seed only.
        features: per frame, the encoder's features; with stochastic depth, and where the encoder
            adapts, its input.
        images: per frame, the encoder's input; None where no method needs it.
        labels: the frozen student's.
        reliability: of these labels, in [0, 1].
        input_size: (Hi, Wi).
        last: features of the last frame, which the rest of the video follows.
        scored: whether these frames are segmented and scored as well (a warm-up of 100 %).
        masks: the teacher's masks, by what methods need of them (`MASKLETS`, `TRACKS`).
        trained: all of a student that was trained on clips; None where no method needs it.
        seconds: that stage A took.
    """

    name: str
    features: list[PyTree]
    images: list[Float[Array, "Hi Wi 3"]] | None
    labels: UInt8[np.ndarray, "T H W"]
    reliability: Float[np.ndarray, "T H W"]
    input_size: tuple[int, int]
    last: PyTree
    scored: bool = False
    masks: Mapping[str, MaskSource] | None = None
    trained: Adaptable | None = None
    seconds: float = 0.0

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        H, W = self.labels.shape[1:]
        return H, W


class Prepared(NamedTuple):
    """What a method knows when the rest of the video begins.

    Attributes:
        state: of the first step; a pytree of arrays.
        losses: one row per step that was taken: pass, frame, and the terms of the loss.
        network: what was adapted; None where nothing was.
        kept_frozen: why the video keeps the frozen student's labels; None where it does not.
        frame_inputs: of the frame with an index, what `step` gets beside the frame itself.
        details: whatever else is worth keeping, as JSON values.
    """

    state: PyTree
    losses: Sequence[Mapping[str, float]] = ()
    network: Adaptable | None = None
    kept_frozen: str | None = None
    frame_inputs: Callable[[int], PyTree] | None = None
    details: Mapping[str, Any] = MappingProxyType({})


class Frame(NamedTuple):
    """One frame, as a step sees it.

    Attributes:
        features: of the frozen encoder in evaluation mode, [h, w, c].
        image: the encoder's input, for methods that move the encoder's weights.
        own: what the method's `frame_inputs` gave; None if it has none.
    """

    features: PyTree
    image: Float[Array, "Hi Wi 3"]
    own: PyTree = None


class Fixed(NamedTuple):
    """What a compiled scan is compiled for, beside the shapes.

    Attributes:
        size: (H, W) of the labels.
        input_size: (Hi, Wi).
        threshold: τ of Eq. 3.
        online: whether a method that can goes on learning.
    """

    size: tuple[int, int]
    input_size: tuple[int, int]
    threshold: float
    online: bool


class Scene(NamedTuple):
    """What all steps of a video share.

    Attributes:
        graph: structure of the student.
        encoder: its frozen encoder.
        network: its decoder and fusion before adaptation.
        fixed: sizes and settings.
    """

    graph: nnx.GraphDef
    encoder: nnx.State
    network: Adaptable
    fixed: Fixed


class Method(ABC):
    """A way to turn a video into labels.

    Attributes:
        name: of its file, and in configurations and results.
        title: in tables and pictures.
        version: raised when its numbers change, so that finished videos are done again.
        needs: of `IMAGES`, `MASKLETS`, `TRACKS` and `TRAINED`.
        can_learn_along: whether the protocol "online" makes a difference.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[str]] = frozenset()
    can_learn_along: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Refuse settings that do not exist.

        Raises:
            UserError: names the setting, the value and what is allowed.
        """
        fit_fields(self, METHODS.get(self.name, {}), self.name + ".{}")

    @abstractmethod
    def prepare(self, model: Model, warm_up: WarmUp, settings: Settings) -> Prepared:
        """Learn what the warm-up teaches.

        Args:
            model: the pre-trained student; not changed.
            warm_up: stage A's result, with the masks that the method needs.
            settings: of all stages.

        Returns:
            the state in which the rest of the video begins.
        """

    @abstractmethod
    def step(self, scene: Scene, state: PyTree, frame: Frame) -> tuple[PyTree, UInt8[Array, "H W"]]:
        """Label a frame; traced once, as the body of a scan.

        Returns:
            the state for the next frame, of the same shapes and types, and the labels.
        """

    def draws(self, settings: Settings) -> bool:
        """Whether anything is drawn, so that another seed gives other numbers."""
        return True

    def prepare_many(
        self, model: Model, warm_ups: Sequence[WarmUp], settings: Settings, devices: int
    ) -> list[Prepared]:
        """`prepare` for videos of one size; side by side on several devices where a method can."""
        return [self.prepare(model, warm_up, settings) for warm_up in warm_ups]

"""Where stage D computes: one video on the default device, or several over the devices there are.

Both take and give trees of a list of videos; in between these lie on the devices as the compiled
programs want them.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from ditta_jax.algorithm import inference
from ditta_jax.algorithm.model import Model
from ditta_jax.algorithm.video_mesh import fetch, on_every_device, spread, video_mesh
from ditta_jax.methods import stream
from ditta_jax.methods.protocol import Fixed, Frame, Method
from ditta_jax.metrics.counts import Counting, count_frames, count_settings


class Placement(ABC):
    """Devices, and stage D's programs on them."""

    @abstractmethod
    def put(self, videos: Sequence[PyTree]) -> PyTree:
        """Bring each video's tree to its device, in arrays that nothing else holds."""

    @abstractmethod
    def fetch(self, tree: PyTree, videos: int) -> list[PyTree]:
        """Each video's tree, on the host."""

    @abstractmethod
    def encode(self, images: PyTree) -> PyTree:
        """The frozen encoder's features of a chunk of each video."""

    @abstractmethod
    def label(
        self, method: Method, state: PyTree, frames: Frame, fixed: Fixed
    ) -> tuple[PyTree, PyTree]:
        """The state after a chunk, and its labels; the state before is donated."""

    @abstractmethod
    def count(
        self, runs: PyTree, labels: PyTree, truth: PyTree, counting: Counting
    ) -> tuple[PyTree, PyTree]:
        """The runs after a chunk of labels, and its counts; the runs before are donated."""


class DefaultDevice(Placement):
    """One video on the default device.

    Args:
        model: the pre-trained student.
        several: methods whose state is of K settings, and so are their labels.
    """

    def __init__(self, model: Model, several: Sequence[str] = ()) -> None:
        self._model, self._several = model, several

    def put(self, videos: Sequence[PyTree]) -> PyTree:
        """See `Placement`."""
        (video,) = videos
        return jax.tree.map(jnp.copy, video)

    def fetch(self, tree: PyTree, videos: int) -> list[PyTree]:
        """See `Placement`."""
        return [jax.device_get(tree)]

    def encode(self, images: PyTree) -> PyTree:
        """See `Placement`."""
        model = self._model
        return inference.encode(model.graph, model.encoder, model.network, images)

    def label(
        self, method: Method, state: PyTree, frames: Frame, fixed: Fixed
    ) -> tuple[PyTree, PyTree]:
        """See `Placement`."""
        several = method.name in self._several
        return stream.label_frames(method, self._model, state, frames, fixed, several)

    def count(
        self, runs: PyTree, labels: PyTree, truth: PyTree, counting: Counting
    ) -> tuple[PyTree, PyTree]:
        """See `Placement`."""
        count = count_frames if labels.ndim == 3 else count_settings
        return count(runs, labels, truth, counting)


class OverDevices(Placement):
    """Several videos of one size, spread over devices that do not communicate.

    Args:
        model: the pre-trained student; copied to every device.
        devices: to spread the videos over.
    """

    def __init__(self, model: Model, devices: Sequence[jax.Device]) -> None:
        self._mesh = mesh = video_mesh(devices)
        parts = on_every_device((model.encoder, model.network), mesh)
        self._model = model._replace(encoder=parts[0], network=parts[1])

    def put(self, videos: Sequence[PyTree]) -> PyTree:
        """See `Placement`."""
        return spread(videos, self._mesh)

    def fetch(self, tree: PyTree, videos: int) -> list[PyTree]:
        """See `Placement`."""
        return fetch(tree, videos)

    def encode(self, images: PyTree) -> PyTree:
        """See `Placement`."""
        model = self._model
        parts = model.graph, model.encoder, model.network
        return inference.encode_videos(*parts, images, self._mesh)

    def label(
        self, method: Method, state: PyTree, frames: Frame, fixed: Fixed
    ) -> tuple[PyTree, PyTree]:
        """See `Placement`."""
        return stream.label_videos(method, self._model, state, frames, fixed, self._mesh)

    def count(
        self, runs: PyTree, labels: PyTree, truth: PyTree, counting: Counting
    ) -> tuple[PyTree, PyTree]:
        """See `Placement`."""
        return stream.count_videos(runs, labels, truth, counting, self._mesh)

"""What the prompt search asks of a video tracker."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from jaxtyping import Bool


class FrameMasks(NamedTuple):
    """Masks of all tracked objects on one frame; they may overlap.

    Attributes:
        ids: object ids, in the order in which the tracker lists them.
        masks: one mask for each, possibly empty.
    """

    ids: tuple[int, ...]
    masks: Bool[np.ndarray, "n H W"]


class Tracker(Protocol):
    """A video tracker such as SAM 2's: prompts first, then frame-by-frame tracking.

    Objects are listed in the order in which they were added since the last reset.
    """

    def reset(self) -> None:
        """Forget all objects."""

    def click(self, frame: int, object_id: int, y: int, x: int) -> None:
        """Add an object by a positive click on one of its pixels."""

    def mask(self, frame: int, object_id: int, mask: Bool[np.ndarray, "H W"]) -> None:
        """Add an object by its mask on a frame."""

    def propagate(self, frame: int, *, reverse: bool = False) -> FrameMasks:
        """Return the masks on a frame: the prompted one, or the next (`reverse`: previous) one.

        Called on consecutive frames, from that of the prompts on.
        """

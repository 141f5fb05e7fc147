"""Objects that are prompted on one frame and tracked together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from jaxtyping import Bool

if TYPE_CHECKING:
    import torch

Found = dict[str, Any]  # of a batch of objects on one frame; the `current_out` of sam2


class Prompt(NamedTuple):
    """What one object is known by.

    Attributes:
        point: (x, y) of a positive click, in pixels of the video; None: it has a mask.
        mask: its mask.
    """

    point: tuple[float, float] | None
    mask: Bool[torch.Tensor, "H W"] | None = None


class Batch:
    """Objects prompted on the same frame, tracked together.

    Attributes:
        objects: their number.
        prompted: what was found on the prompted frame, under its number.
        tracked: the same of the frames since.
        frame: the last of these.
    """

    def __init__(self, frame: int, found: Found) -> None:
        """Take the prompted frame and what was found there."""
        self.objects = len(found["pred_masks"])
        self.prompted: dict[int, Found] = {frame: found}
        self.tracked: dict[int, Found] = {}
        self.frame = frame

    def newest(self) -> tuple[Found, bool]:
        """Return what was found on the last frame, and whether that is the prompted one."""
        return self.tracked.get(self.frame) or self.prompted[self.frame], not self.tracked

    def add(self, frame: int, found: Found, reach: int) -> None:
        """Add what was found on the next frame; forget what is further away than `reach` frames."""
        self.tracked[frame] = found
        self.frame = frame
        for old in [t for t in self.tracked if abs(t - frame) > reach]:
            del self.tracked[old]

"""Frames of a request as the tensors that SAM 2's own loader would make of them, on demand."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float

from ditta_jax.errors import UserError
from ditta_jax.files import read_regular
from ditta_jax.teacher.frame_files import MOST_BYTES

# As `sam2.utils.misc.load_video_frames` has them.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class EntryFrames:
    """The frames of one entry: indexable, decoded at each access, nothing kept.

    SAM 2's loader wants a folder of JPEGs with integer names and holds the whole clip in memory.
    This takes JPEG or PNG bytes under any name, one frame at a time, and calls the same function
    to decode and resize them.
    """

    def __init__(
        self,
        files: Sequence[Path],
        digests: Sequence[str],
        size: tuple[int, int],
        image_size: int,
        device: torch.device,
    ) -> None:
        """Take T files, their SHA-256, the (H, W) all must have, the model's input side."""
        self.files, self.digests, self.size = files, digests, size
        self.image_size = image_size
        self.mean = torch.tensor(_MEAN, device=device)[:, None, None]
        self.std = torch.tensor(_STD, device=device)[:, None, None]

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.files)

    def __getitem__(self, t: int) -> Float[torch.Tensor, "3 side side"]:
        """Return one frame, resized to a square and normalised; UserError naming its file."""
        from sam2.utils.misc import _load_img_as_tensor

        path = self.files[t]
        try:
            data = read_regular(path, MOST_BYTES)
            if hashlib.sha256(data).hexdigest() != self.digests[t]:
                raise UserError(
                    f"{path}: not the frame of the request: damaged or changed; delete the entry"
                    " and run the student again"
                )
            image, height, width = _load_img_as_tensor(io.BytesIO(data), self.image_size)
        except (OSError, SyntaxError, ValueError, RuntimeError) as error:
            raise UserError(f"{path}: unreadable frame ({error})") from None
        if (height, width) != self.size:
            raise UserError(
                f"{path}: {height} x {width} pixels, the request says {self.size[0]} x"
                f" {self.size[1]} (height x width)"
            )
        # The loader stores frames in single precision before it normalises: keep that order.
        return (image.float().to(self.mean.device) - self.mean) / self.std

"""Small holes in masks, filled as `sam2` fills them, also without its CUDA extension."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from sam2.utils.misc import get_connected_components

_FILLED = 0.1  # logit of a filled hole, as in `sam2`


def fill_holes(logits: Float[torch.Tensor, "n 1 h w"], most: int) -> Float[torch.Tensor, "n 1 h w"]:
    """Return logits without holes: components outside a mask of at most `most` pixels."""
    labels, areas = connected_components(logits <= 0)
    return logits.masked_fill((labels > 0) & (areas <= most), _FILLED)


def connected_components(
    mask: Bool[torch.Tensor, "n 1 h w"],
) -> tuple[Int[torch.Tensor, "n 1 h w"], Int[torch.Tensor, "n 1 h w"]]:
    """Return label and area of each pixel's 8-connected component, 0 outside the mask.

    What the CUDA extension of `sam2` computes, also without it.
    """
    if mask.is_cuda:
        try:
            return get_connected_components(mask)
        except ImportError:
            pass
    labels = np.zeros(mask.shape, np.int32)
    areas = np.zeros(mask.shape, np.int32)
    for i, one in enumerate(mask[:, 0].to("cpu", torch.uint8).numpy()):
        _, labels[i, 0], statistics, _ = cv2.connectedComponentsWithStats(one, connectivity=8)
        areas[i, 0] = np.where(labels[i, 0] > 0, statistics[labels[i, 0], cv2.CC_STAT_AREA], 0)
    return torch.from_numpy(labels).to(mask.device), torch.from_numpy(areas).to(mask.device)

"""Losses of the nano SAM 2's training."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FINE_SIZE = 96  # pixels a side at which the answer's mask is compared


class MaskLoss(NamedTuple):
    """loss: scalar; iou: mean intersection over union of the answers, without gradient."""

    loss: Tensor
    iou: Tensor


def pixel_loss(logits: Tensor, target: Tensor, balance: float) -> Tensor:
    """Cross entropy, focused or balanced, plus dice: float [..., H, W] twice -> [...].

    Args:
        logits: of the pixel belonging to the object.
        target: share of the pixel that belongs to the object, 0..1, same shape as `logits`.
        balance: weight of the class-balanced cross entropy, 0..1; the rest falls to a focused one.
            Small objects collapse to empty masks without the former at first.
    """
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    probability = logits.sigmoid()
    # A share of plain cross entropy stays in the focused one so that logits remain calibrated.
    weight = 0.3 + 3 * (probability - target).abs().detach()
    focused = (entropy * weight).mean((-2, -1))
    positive, negative = target.sum((-2, -1)), (1 - target).sum((-2, -1))
    balanced = 0.5 * (entropy * target).sum((-2, -1)) / (positive + 1)
    balanced = balanced + 0.5 * (entropy * (1 - target)).sum((-2, -1)) / (negative + 1)
    cross_entropy = balance * balanced + (1 - balance) * focused
    return 2 * cross_entropy + dice_loss(probability, target)


def dice_loss(probability: Tensor, target: Tensor) -> Tensor:
    """1 - dice coefficient over the last two axes, softened by one pixel."""
    overlap = (probability * target).sum((-2, -1))
    return 1 - (2 * overlap + 1) / (probability.sum((-2, -1)) + target.sum((-2, -1)) + 1)


def intersection_over_union(logits: Tensor, target: Tensor) -> Tensor:
    """IoU of positive logits and targets above 1/2 over the last two axes; 0 where both empty."""
    predicted, actual = logits > 0, target > 0.5
    union = (predicted | actual).sum((-2, -1)).clamp(min=1)
    return (predicted & actual).sum((-2, -1)) / union


def mask_loss(
    masks: Tensor, iou_scores: Tensor, presence: Tensor, target: Tensor, balance: float
) -> MaskLoss:
    """Loss of the mask decoder's raw outputs for B objects on a frame.

    Args:
        masks: logits [B, 4, h, w]; mask 0 answers, the best of the others is its reserve, to which
            the default post-processing turns where mask 0 is unstable.
        iou_scores: predicted IoU [B, 4], 0..1.
        presence: logits [B, 1] of the object being visible.
        target: bool [B, H, W], H a multiple of h and of `FINE_SIZE`; all False where absent.
        balance: see `pixel_loss`.
    """
    exact = target[:, None].float()
    coarse = F.avg_pool2d(exact, exact.shape[-1] // masks.shape[-1]).expand_as(masks)
    fine = F.avg_pool2d(exact, exact.shape[-1] // FINE_SIZE)
    answer = F.interpolate(masks[:, :1], (FINE_SIZE, FINE_SIZE), mode="bilinear")
    answer_loss = pixel_loss(answer, fine, balance)[:, 0]
    reserve_loss = pixel_loss(masks[:, 1:], coarse[:, 1:], balance).amin(1)
    with torch.no_grad():
        reached = intersection_over_union(masks, coarse)
        answer_iou = intersection_over_union(answer, fine)[:, 0]
    score_loss = F.smooth_l1_loss(iou_scores, reached, reduction="none", beta=0.1).mean(1)
    visible = target.flatten(1).any(1).float()
    count = visible.sum().clamp(min=1)
    shape_loss = answer_loss + 0.5 * reserve_loss + 0.5 * score_loss
    presence_loss = F.binary_cross_entropy_with_logits(presence[:, 0], visible)
    loss = (shape_loss * visible).sum() / count + 0.7 * presence_loss
    return MaskLoss(loss, (answer_iou * visible).sum() / count)


class ClickAffinity(nn.Module):
    """Metric learning on the decoder's upscaled embedding: pixels against the clicked pixel.

    It needs no attention to work and so teaches the image encoder from the first step.
    """

    def __init__(self, channels: int, width: int = 32) -> None:
        super().__init__()
        self.projection = nn.Conv2d(channels, width, 1)
        self.scale = nn.Parameter(torch.tensor(8.0))
        self.offset = nn.Parameter(torch.tensor(-3.0))

    def forward(self, embedding: Tensor, clicks: Tensor, target: Tensor) -> Tensor:
        """Return the mean loss over objects.

        Args:
            embedding: [B, C, h, w].
            clicks: [B, 2] as (x, y) in 0..1 of the frame.
            target: bool [B, H, W].
        """
        pixels = F.normalize(self.projection(embedding), dim=1)
        grid = (2 * clicks - 1)[:, None, None]
        clicked = F.grid_sample(pixels, grid, mode="bilinear", align_corners=False)
        logits = self.scale * (pixels * clicked).sum(1, keepdim=True) + self.offset
        logits = F.interpolate(logits, (FINE_SIZE, FINE_SIZE), mode="bilinear")[:, 0]
        wanted = F.avg_pool2d(target[:, None].float(), target.shape[-1] // FINE_SIZE)[:, 0]
        return pixel_loss(logits, wanted, balance=1.0).mean()

"""The training losses against NumPy."""

import numpy as np
import pytest
import torch

from teacher_bridge.nano.training.losses import (
    ClickAffinity,
    dice_loss,
    intersection_over_union,
    mask_loss,
    pixel_loss,
)


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _reference(logits, target, balance):
    p = _sigmoid(logits)
    entropy = -(target * np.log(p) + (1 - target) * np.log(1 - p))
    focused = (entropy * (0.3 + 3 * abs(p - target))).mean((-2, -1))
    inside, outside = target.sum((-2, -1)), (1 - target).sum((-2, -1))
    balanced = 0.5 * (entropy * target).sum((-2, -1)) / (inside + 1)
    balanced += 0.5 * (entropy * (1 - target)).sum((-2, -1)) / (outside + 1)
    dice = 1 - (2 * (p * target).sum((-2, -1)) + 1) / (p.sum((-2, -1)) + inside + 1)
    return 2 * (balance * balanced + (1 - balance) * focused) + dice


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    return rng.normal(0, 3, (2, 3, 6, 5)), rng.uniform(0, 1, (2, 3, 6, 5))


@pytest.mark.parametrize("balance", [0.0, 0.4, 1.0])
def test_pixel_loss_equals_numpy(pair, balance):
    logits, target = pair
    actual = pixel_loss(torch.from_numpy(logits), torch.from_numpy(target), balance)
    np.testing.assert_allclose(actual.numpy(), _reference(logits, target, balance), rtol=1e-12)


def test_dice_is_zero_for_a_perfect_answer_and_near_one_for_a_disjoint_one():
    target = torch.zeros(1, 20, 20)
    target[:, :10] = 1
    assert dice_loss(target, target).item() == 0
    assert dice_loss(1 - target, target).item() == pytest.approx(1 - 1 / 401)


def test_intersection_over_union_counts_pixels():
    logits = torch.tensor([[[1.0, 1.0], [-1.0, -1.0]], [[-1.0, -1.0], [-1.0, -1.0]]])
    target = torch.tensor([[[1.0, 0.4], [0.9, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
    assert intersection_over_union(logits, target).tolist() == [pytest.approx(1 / 3), 0.0]


def _perfect(target):
    """Mask logits [B, 4, 48, 48] that agree with a target whose borders are multiples of 4."""
    coarse = torch.nn.functional.avg_pool2d(target[:, None].float(), 4)
    return (20 * (2 * coarse - 1)).expand(-1, 4, -1, -1)


def test_mask_loss_vanishes_for_the_right_answer_and_ignores_the_mask_of_absent_objects():
    target = torch.zeros(2, 192, 192, dtype=torch.bool)
    target[0, 40:120, 60:160] = True
    masks = _perfect(target)
    scores, presence = torch.ones(2, 4), torch.tensor([[12.0], [-12.0]])
    right = mask_loss(masks, scores, presence, target, 0.3)
    # The answer's mask is compared at 96 x 96, where its upsampled border is soft.
    assert right.loss < 0.1 and right.iou > 0.97
    wild = torch.cat([masks[:1], torch.randn(1, 4, 48, 48)])
    assert mask_loss(wild, scores, presence, target, 0.3).loss == right.loss
    swapped = mask_loss(masks, scores, -presence, target, 0.3)
    assert swapped.loss - right.loss == pytest.approx(0.7 * 12, rel=1e-3)


def test_mask_loss_takes_only_the_best_reserve():
    target = torch.zeros(1, 192, 192, dtype=torch.bool)
    target[:, :96] = True
    masks = _perfect(target).clone()
    scores, presence = torch.ones(1, 4), torch.tensor([[12.0]])
    masks[:, 2] = -masks[:, 2]
    masks.requires_grad_()
    mask_loss(masks, scores, presence, target, 0.0).loss.backward()
    assert masks.grad[:, 2].abs().sum() == 0
    assert masks.grad[:, 0].abs().sum() > 0


def test_click_affinity_learns_to_tell_two_halves_apart():
    torch.manual_seed(0)
    affinity = ClickAffinity(channels=2, width=4)
    embedding = torch.zeros(1, 2, 48, 48)
    embedding[:, 0, :, :24], embedding[:, 1, :, 24:] = 1, 1
    target = torch.zeros(1, 192, 192, dtype=torch.bool)
    target[:, :, :96] = True
    clicks = torch.tensor([[0.25, 0.5]])
    optimiser = torch.optim.Adam(affinity.parameters(), 0.1)
    first = affinity(embedding, clicks, target).item()
    for _ in range(40):
        optimiser.zero_grad()
        loss = affinity(embedding, clicks, target)
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.25 * first

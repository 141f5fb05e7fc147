"""Reliability, cross entropies and the contrastive loss in plain PyTorch at full resolution."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from ditta_jax.benchmark.torch_rivals.direct_decoder import bilinear
from ditta_jax.labels import IGNORE

Prototypes = dict[int, Tensor]


def upsample(logits: Tensor, sizes: Sequence[Sequence[int]]) -> Tensor:
    """`[C, h, w]` through each of `sizes` in turn, by default network input then source."""
    x = logits[None]
    for size in sizes:
        x = bilinear(x, size)
    return x[0]


def probabilities(logits: Tensor, sizes: Sequence[Sequence[int]]) -> Tensor:
    """Softmax over classes after both upsamplings, `[C, H, W]`."""
    return upsample(logits, sizes).softmax(0)


def entropy(p: Tensor) -> Tensor:
    """Pixel entropy in nat, `[C, H, W]` to `[H, W]`, with `0 log 0 = 0`."""
    return torch.special.entr(p).sum(0)


def reliability(p: Tensor) -> Tensor:
    """`1 − E / max E` over the frame (Eq. 2)."""
    e = entropy(p)
    return 1.0 - e / e.max()


def momentum_reliability(p: Tensor) -> Tensor:
    """ρ: entropy of the softmax *of probabilities*, min–max normalised over the frame, inverted."""
    e = entropy(p.softmax(0))
    return 1.0 - (e - e.min()) / (e.max() - e.min())


def fuse_branches(plain: Tensor, fused: Tensor, threshold: float = 0.8) -> Tensor:
    """Eq. 3: average of both branches by reliability where the plain one is not reliable."""
    r0, r1 = reliability(plain), reliability(fused)
    total = r0 + r1
    share = torch.where(total > 0, r0 / total, torch.full_like(total, 0.5))
    return torch.where(r0 < threshold, share * plain + (1.0 - share) * fused, plain)


def cross_entropy(p: Tensor, label: Tensor) -> Tensor:
    """Cross entropy that takes log-softmax of *probabilities*; ignored pixels count zero in a mean.

    Args:
        p: `[C, H, W]`.
        label: `[H, W]` classes, 255 ignored.
    """
    total = functional.cross_entropy(p[None], label[None], ignore_index=IGNORE, reduction="sum")
    return total / label.numel()


def unit_features(projected: Tensor, size: Sequence[int]) -> Tensor:
    """Normalise over channels, upsample to the source size, normalise again: `[D, H, W]`."""
    low = functional.normalize(projected[None], dim=1, eps=1e-12)
    return functional.normalize(bilinear(low, size), dim=1, eps=1e-12)[0]


def contrast(
    live: Tensor,
    momentum: Tensor,
    rho: Tensor,
    object_ids: Tensor,
    stored: Prototypes,
    temperature: float = 1.0,
) -> tuple[Tensor | None, Prototypes]:
    """Eq. 6 and 7 on full-resolution features.

    Args:
        live: projected features of the live network, `[D, h, w]`.
        momentum: the same of the momentum network.
        rho: reliability of the momentum network's plain branch, `[H, W]`.
        object_ids: `[H, W]`, 0 where there is no object.
        stored: prototypes of earlier steps, by object id; not changed.
        temperature: divides the similarities.

    Returns:
        the loss (None without objects) and all prototypes after this step.
    """
    present = [int(o) for o in object_ids.unique() if o > 0]
    if not present:
        return None, stored
    size = object_ids.shape
    with torch.no_grad():
        weighted = unit_features(momentum, size) * rho
        prototypes = dict(stored)
        for o in present:
            new = functional.normalize(weighted[:, object_ids == o].mean(1), dim=0, eps=1e-12)
            if o in stored:
                new = functional.normalize((new + stored[o]) / 2, dim=0, eps=1e-12)
            prototypes[o] = new
        table = torch.stack([prototypes[o] for o in present])
    similarity = torch.einsum("od,dyx->oyx", table, unit_features(live, size)) / temperature
    target = torch.full(size, IGNORE, device=object_ids.device)
    for index, o in enumerate(present):
        target[object_ids == o] = index
    loss = functional.cross_entropy(
        similarity[None], target[None], ignore_index=IGNORE, reduction="sum"
    )
    return loss / target.numel(), prototypes

"""The losses of one step from low-resolution maps, in PyTorch: the identities of rival (b).

The formulas are those of `losses`, `contrast` and `full_resolution` in `ditta_jax.algorithm`.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ditta_jax.labels import IGNORE
from ditta_jax.students.resize_matrices import chain

BLOCK_ROWS = 32  # of [C, rows, W]
ABSENT = -1e30  # similarity of an object that the frame does not show


class Geometry(NamedTuple):
    """Constants of the resizings between one pair of sizes.

    Attributes:
        rows, columns: `[H, h]` and `[W, w]`, through the input size, as logits are resized.
        plain_rows, plain_columns: the same directly, as features are resized.
        blocks: (first row, last row + 1, first source row, last source row + 1) of each block.
        low: first of the two source rows `[H]` and columns `[W]`, of the direct resizing.
        share: of the second of them.
    """

    rows: Tensor
    columns: Tensor
    plain_rows: Tensor
    plain_columns: Tensor
    blocks: tuple[tuple[int, int, int, int], ...]
    low: tuple[Tensor, Tensor]
    share: tuple[Tensor, Tensor]


def geometry(
    maps: tuple[int, int],
    inputs: tuple[int, int],
    size: tuple[int, int],
    like: Tensor,
    block_rows: int = BLOCK_ROWS,
) -> Geometry:
    """Resizings from maps `(h, w)` to source `(H, W)`, of the dtype and on the device of `like`."""
    through = [chain(*sizes) for sizes in zip(maps, inputs, size, strict=True)]
    direct = [chain(*sizes) for sizes in zip(maps, size, strict=True)]
    blocks = []
    for first in range(0, size[0], block_rows):
        last = min(first + block_rows, size[0])
        used = np.flatnonzero(through[0][first:last].any(0))
        blocks.append((first, last, int(used[0]), int(used[-1]) + 1))
    low = [(matrix > 0).argmax(1) for matrix in direct]
    share = [1 - m[np.arange(len(m)), first] for m, first in zip(direct, low, strict=True)]
    rows, columns, plain_rows, plain_columns = (
        torch.as_tensor(m).to(like) for m in (*through, *direct)
    )
    return Geometry(
        rows,
        columns,
        plain_rows,
        plain_columns,
        blocks=tuple(blocks),
        low=(torch.as_tensor(low[0]).to(like.device), torch.as_tensor(low[1]).to(like.device)),
        share=(torch.as_tensor(share[0]).to(like), torch.as_tensor(share[1]).to(like)),
    )


def gradient_is_compiled() -> bool:
    """Whether `torch.compile` is to derive a gradient of what is computed now: then, no gathers.

    The gradient of a gather (indices, `unfold`, `interpolate`) is a scatter. Where torch 2.13
    compiles a scatter for several threads of a CPU in tiles of two axes, it counts one of the axes
    twice and adds at wrong places, also beyond the result. Each addition is atomic, so slow, too.
    """
    return torch.compiler.is_compiling() and torch.is_grad_enabled()


# ---------------------------------------------------------------------------- cross entropy


class _LossOfProbabilities(torch.autograd.Function):
    """`Σ w (log Σ_c exp(p_c) − p_y)` with `p = softmax(Up z)`; its gradient in the same sweep."""

    @staticmethod
    def forward(ctx: Any, columns: Tensor, label: Tensor, weight: Tensor, geo: Geometry) -> Tensor:
        gradient = torch.zeros_like(columns)
        total = columns.new_zeros(())
        for first, last, start, stop in geo.blocks:
            matrix = geo.rows[first:last, start:stop]
            p = torch.matmul(matrix, columns[:, start:stop]).softmax(0)
            e = p.exp()
            z = e.sum(0)
            own = label[None, first:last]
            w = weight[first:last]
            total += (w * (z.log() - p.gather(0, own)[0])).sum()
            d = e / z
            if torch.compiler.is_compiling():  # becomes part of the surrounding loop
                d = d - (torch.arange(len(d), device=d.device)[:, None, None] == own).to(d)
            else:
                d.scatter_add_(0, own, d.new_full((), -1.0).expand_as(own))
            d = p * (d - (p * d).sum(0)) * w
            gradient[:, start:stop] += torch.matmul(matrix.T, d)
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return gradient * cotangents[0], None, None, None


def cross_entropy(z: Tensor, label: Tensor, geo: Geometry) -> Tensor:
    """Loss of one branch: logits `[C, h, w]`, label `[H, W]` int64, 255 ignored."""
    weight = (label != IGNORE).to(z.dtype) / label.numel()
    own = label.clamp(max=len(z) - 1)
    return _LossOfProbabilities.apply(z @ geo.columns.T, own, weight, geo)


@torch.no_grad()
def momentum_reliability(z: Tensor, geo: Geometry) -> Tensor:
    """ρ of the momentum network's plain logits `[C, h, w]`, as `[H, W]`."""
    columns = z @ geo.columns.T
    rows = []
    for first, last, start, stop in geo.blocks:
        p = torch.matmul(geo.rows[first:last, start:stop], columns[:, start:stop]).softmax(0)
        e = p.exp()
        total = e.sum(0)
        rows.append(total.log() - (e * p).sum(0) / total)
    entropy = torch.cat(rows)
    return 1 - (entropy - entropy.min()) / (entropy.max() - entropy.min())


# ---------------------------------------------------------------------------- contrast


def upsampled_norm(u: Tensor, geo: Geometry) -> Tensor:
    """`‖Up(u)‖` `[H, W]` of `u` `[h, w, D]`: a quadratic form in four neighbours."""
    below = torch.cat([u[1:], u[-1:]], 0)
    right, diagonal = (torch.cat([x[:, 1:], x[:, -1:]], 1) for x in (u, below))
    s, t = geo.share
    weights = [
        (a[:, None], b) for a, b in ((1 - s, 1 - t), (1 - s, t), (s, 1 - t), (s, t))
    ]  # of u, right, below, diagonal
    corners = (u, right, below, diagonal)
    total: Tensor | float = 0.0
    for i in range(4):
        for j in range(i, 4):
            inner = _at_low((corners[i] * corners[j]).sum(-1), geo)
            factor = weights[i][0] * weights[j][0] * weights[i][1] * weights[j][1]
            total = total + (factor if i == j else 2 * factor) * inner
    assert isinstance(total, Tensor)
    return total.clamp(min=1e-24).sqrt()


def _at_low(x: Tensor, geo: Geometry) -> Tensor:
    """`x` `[h, w]` at each pixel's first source row and column, `[H, W]`."""
    if not gradient_is_compiled():
        return x[geo.low[0]][:, geo.low[1]]
    rows, columns = (functional.one_hot(i, n).to(x) for i, n in zip(geo.low, x.shape, strict=True))
    return rows @ x @ columns.T


@torch.no_grad()
def object_prototypes(
    u: Tensor, rho: Tensor, ids: Tensor, stored: Tensor, seen: Tensor, geo: Geometry
) -> tuple[Tensor, Tensor, Tensor]:
    """Eq. 6: prototypes `[O, D]`, which were ever seen, and which the frame shows.

    `u`: unit projections of the momentum network `[h, w, D]`; `rho` and `ids` are `[H, W]`.
    """
    masks = ids[None] == torch.arange(1, len(stored) + 1, device=ids.device)[:, None, None]
    weight = rho / upsampled_norm(u, geo)
    spread = geo.plain_rows.T @ ((masks * weight) @ geo.plain_columns)
    pixels = masks.sum((1, 2))
    sums = spread.flatten(1) @ u.flatten(0, 1)
    fresh = functional.normalize(sums / pixels.clamp(min=1)[:, None], dim=1, eps=1e-12)
    mixed = functional.normalize((fresh + stored) / 2, dim=1, eps=1e-12)
    present = pixels > 0
    new = torch.where(seen[:, None], mixed, fresh)
    return torch.where(present[:, None], new, stored), seen | present, present


def contrastive_loss(
    u: Tensor, prototypes: Tensor, present: Tensor, ids: Tensor, geo: Geometry
) -> Tensor:
    """Eq. 7: `u` is the live network's projection `[h, w, D]`, not yet normalised."""
    u = functional.normalize(u, dim=-1, eps=1e-12)
    similarity = (u @ prototypes.T).permute(2, 0, 1)
    similarity = geo.plain_rows @ similarity @ geo.plain_columns.T / upsampled_norm(u, geo)
    similarity = similarity.masked_fill(~present[:, None, None], ABSENT)
    target = torch.where(ids > 0, ids - 1, IGNORE)
    loss = functional.cross_entropy(
        similarity[None], target[None], ignore_index=IGNORE, reduction="sum"
    )
    return loss / ids.numel()

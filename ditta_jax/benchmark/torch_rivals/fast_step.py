"""Our algorithm in PyTorch: rivals (b), eager, and (c), under `torch.compile`.

Same state and same numbers as `direct_step`: encoder features once per frame, the fuse convolution
at low resolution, windowed attention in tiles, losses from low-resolution maps, a short momentum
branch, and inference that encodes each frame once.
"""

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from ditta_jax.benchmark.torch_rivals import fast_losses
from ditta_jax.benchmark.torch_rivals.direct_decoder import Decoder, Student, bilinear
from ditta_jax.benchmark.torch_rivals.direct_encoder import Attention
from ditta_jax.benchmark.torch_rivals.direct_step import Losses, Settings, Target, average_into
from ditta_jax.benchmark.torch_rivals.fast_losses import Geometry

TILE = 8


# ---------------------------------------------------------------------------- decoder and fusion


def use_flash_attention(student: Student) -> Student:
    """Let the encoder attend by PyTorch's fused kernel."""
    for module in student.modules():
        if isinstance(module, Attention):
            setattr(module, "attend", functional.scaled_dot_product_attention)  # noqa: B010
    return student


def fuse_levels(decoder: Decoder, maps: Sequence[Tensor]) -> Tensor:
    """Output of the fuse convolution before BatchNorm, `[n, D, h, w]`: each level on its own."""
    size = maps[0].shape[2:]
    linears = (decoder.linear_c4, decoder.linear_c3, decoder.linear_c2, decoder.linear_c1)
    kernels = decoder.linear_fuse.conv.weight[:, :, 0, 0].chunk(4, 1)
    total: Tensor | float = 0.0
    for linear, kernel, x in zip(linears, kernels, reversed(maps), strict=True):
        folded = kernel @ linear.proj.weight
        bias = kernel @ linear.proj.bias
        level = functional.conv2d(x, folded[:, :, None, None], bias)
        total = total + (_resized(level, size) if level.shape[2:] != size else level)
    assert isinstance(total, Tensor)
    return total


def _resized(x: Tensor, size: Sequence[int]) -> Tensor:
    if not fast_losses.gradient_is_compiled():
        return bilinear(x, size)
    rows, columns = (
        bilinear(torch.eye(n, dtype=x.dtype, device=x.device)[None, None], (to, n))[0, 0]
        for n, to in zip(x.shape[2:], size, strict=True)
    )
    x = (x.transpose(2, 3) @ rows.T).transpose(2, 3)  # never a product for each channel
    return x @ columns.T


def embed(decoder: Decoder, maps: Sequence[Tensor]) -> Tensor:
    """Embedding `[n, D, h, w]`; statistics of the clip in training mode."""
    return functional.relu(decoder.linear_fuse.bn(fuse_levels(decoder, maps)))


def window_attention(q: Tensor, k: Tensor, v: Tensor, radius: int) -> Tensor:
    """Attention within a square window: q, k `[h, w, D]`, v `[h, w, C]` to `[h, w, C]`."""
    h, w = q.shape[:2]
    rows, columns = -(-h // TILE), -(-w // TILE)
    side = TILE + 2 * radius
    below, beside = rows * TILE - h, columns * TILE - w
    q = functional.pad(q, (0, 0, 0, beside, 0, below))
    halo = (0, 0, radius, radius + beside, radius, radius + below)
    k, v = functional.pad(k, halo), functional.pad(v, halo)
    q = (
        q.reshape(rows, TILE, columns, TILE, -1)
        .transpose(1, 2)
        .reshape(-1, TILE * TILE, q.shape[-1])
    )
    windows = _joined_windows if fast_losses.gradient_is_compiled() else _unfolded_windows
    k, v = windows(k, side), windows(v, side)
    outside = ~_visible(h, w, radius, q.device)
    weights = torch.bmm(q, k.transpose(1, 2)).masked_fill(outside, -1e30).softmax(-1)
    out = torch.bmm(weights, v).reshape(rows, columns, TILE, TILE, -1).transpose(1, 2)
    return out.reshape(rows * TILE, columns * TILE, -1)[:h, :w]


def _unfolded_windows(x: Tensor, side: int) -> Tensor:
    """`[tiles, side², D]` of `x` with its halo: the tiles' keys, which overlap."""
    x = x.unfold(0, side, TILE).unfold(1, side, TILE).permute(0, 1, 3, 4, 2)
    return x.reshape(-1, side * side, x.shape[-1])


def _joined_windows(x: Tensor, side: int) -> Tensor:
    """The same without a gather: joined from slices whose parts do not overlap."""
    rows, columns = ((n - side) // TILE + 1 for n in x.shape[:2])
    x = functional.pad(x, (0, 0, 0, -side % TILE, 0, -side % TILE))
    x = torch.cat(_pieces(x, 1, columns, side), 2)
    x = torch.cat(_pieces(x, 0, rows, side), 1)
    return x.transpose(1, 2).reshape(rows * columns, side * side, -1)


def _pieces(x: Tensor, axis: int, count: int, side: int) -> list[Tensor]:
    """Along an axis, TILE and then what is left of each of `count` windows."""
    return [
        x.narrow(axis, start, count * TILE)
        .unflatten(axis, (count, TILE))
        .narrow(axis + 1, 0, min(TILE, side - start))
        for start in range(0, side, TILE)
    ]


def _visible(h: int, w: int, radius: int, device: torch.device) -> Tensor:
    """`[tiles, TILE², side²]`: keys within the window that exist."""
    rows, columns = -(-h // TILE), -(-w // TILE)
    key = torch.arange(TILE + 2 * radius, device=device) - radius
    near = (key - torch.arange(TILE, device=device)[:, None]).abs() <= radius
    window = (near[:, None, :, None] & near[None, :, None, :]).reshape(TILE * TILE, -1)
    y = torch.arange(rows, device=device)[:, None] * TILE + key
    x = torch.arange(columns, device=device)[:, None] * TILE + key
    inside_y, inside_x = (y >= 0) & (y < h), (x >= 0) & (x < w)
    exists = inside_y[:, None, :, None] & inside_x[None, :, None, :]
    return window & exists.reshape(rows * columns, 1, -1)


def fuse(decoder: Decoder, previous: Tensor, current: Tensor, previous_logits: Tensor) -> Tensor:
    """Fused logits `[C, h, w]` from embeddings `[D, h, w]` and the previous frame's logits."""
    # The last layers folded: only a constant per query is missing, which softmax does not see. The
    # key's bias comes in by nothing but its name, so that AdamW decays it as elsewhere.
    layers = dict(decoder.named_parameters())
    last = (f"{name}_layer.2.{kind}" for name in ("query", "key") for kind in ("weight", "bias"))
    query, query_bias, key, key_bias = (layers[name] for name in last)
    hidden = decoder.query_layer[:2](current.permute(1, 2, 0))
    q = functional.linear(hidden, key.T @ query, query_bias @ key + 0.0 * key_bias.sum())
    k = decoder.key_layer[:2](previous.permute(1, 2, 0))
    v = previous_logits.permute(1, 2, 0)
    return window_attention(q, k, v, decoder.radius).permute(2, 0, 1)


# ---------------------------------------------------------------------------- adaptation


class FastAdaptation:
    """State of the adaptation of one video whose encoder features are given."""

    def __init__(
        self,
        student: Student,
        geometry: Geometry,
        objects: int,
        settings: Settings = Settings(),  # noqa: B008
        compiled: bool = False,
    ):
        """Copy the decoder; the student is not changed."""
        self.settings, self.geometry = settings, geometry
        self.live = copy.deepcopy(student.decode_head).train()
        self.momentum = copy.deepcopy(student.decode_head).train().requires_grad_(False)
        self.optimiser = torch.optim.AdamW(
            self.live.parameters(),
            lr=settings.learning_rate,
            betas=settings.betas,
            eps=settings.eps,
            weight_decay=settings.weight_decay,
        )
        weight = self.live.linear_pred.weight
        self.prototypes = weight.new_zeros(objects, weight.shape[1])
        self.seen = torch.zeros(objects, dtype=torch.bool, device=weight.device)
        self._losses: Callable = torch.compile(step_losses) if compiled else step_losses

    def step(self, maps: Sequence[Tensor], target: Target) -> Losses:
        """One AdamW step on features `[n, c, h, w]` of a clip (n = 1 at t = 0, else 2)."""
        memory = (self.prototypes, self.seen)
        losses, memory = self._losses(
            self.live, self.momentum, tuple(maps), target, memory, self.geometry
        )
        self.prototypes, self.seen = memory
        self.optimiser.zero_grad()
        losses.total().backward()
        self.optimiser.step()
        average_into(self.momentum, self.live, self.settings.momentum)
        return losses


def step_losses(live, momentum, maps, target: Target, memory, geo: Geometry):
    """Forward of both networks and the terms of the loss, and the new prototypes."""
    with torch.no_grad():
        slow = embed(momentum, maps)[-1:]
        unit = functional.normalize(momentum.proj_feat(slow)[0].permute(1, 2, 0), dim=-1, eps=1e-12)
        rho = fast_losses.momentum_reliability(momentum.classify(slow)[0], geo)
        prototypes, seen, present = fast_losses.object_prototypes(
            unit, rho, target.object_ids, memory[0], memory[1], geo
        )
    f = embed(live, maps)
    z = live.classify(f)
    fused = None
    if len(f) > 1:
        fused = fast_losses.cross_entropy(fuse(live, f[0], f[1], z[0]), target.label, geo)
    u = live.proj_feat(f[-1:])[0].permute(1, 2, 0)
    contrast = fast_losses.contrastive_loss(u, prototypes, present, target.object_ids, geo)
    distill = fast_losses.cross_entropy(z[-1], target.label, geo)
    return Losses(distill, fused, contrast), (prototypes, seen)


# ---------------------------------------------------------------------------- inference


@torch.no_grad()
def plain_frame(student: Student, frame: Tensor, geo: Geometry) -> Tensor:
    """Label `[H, W]` of a frame `[3, Hi, Wi]`: the encoder, the decoder, the argmax."""
    head = student.decode_head
    z = head.classify(embed(head, student.backbone(frame[None])))[0]
    columns = z @ geo.columns.T
    labels = [
        torch.matmul(geo.rows[first:last, start:stop], columns[:, start:stop]).argmax(0)
        for first, last, start, stop in geo.blocks
    ]
    return torch.cat(labels)


@torch.no_grad()
def fused_frame(
    student: Student, frame: Tensor, previous: tuple[Tensor, Tensor], geo: Geometry,
    threshold: float = 0.8,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:  # fmt: skip
    """Label of a frame with the embedding and logits of the one before, and what to carry on."""
    head = student.decode_head
    f = embed(head, student.backbone(frame[None]))
    z = head.classify(f)[0]
    z_fused = fuse(head, previous[0], f[0], previous[1])
    both = [branch @ geo.columns.T for branch in (z, z_fused)]
    first_pass = [_probabilities(both, block, geo) for block in geo.blocks]
    reliabilities = []
    for branch in range(2):
        entropy = torch.cat([torch.special.entr(p[branch]).sum(0) for p in first_pass])
        reliabilities.append(1 - entropy / entropy.max())
    labels = []
    for (first, last, *_), (plain, fused) in zip(geo.blocks, first_pass, strict=True):
        r0, r1 = (r[first:last] for r in reliabilities)
        total = r0 + r1
        share = torch.where(total > 0, r0 / total, 0.5)
        mixed = torch.where(r0 < threshold, share * plain + (1 - share) * fused, plain)
        labels.append(mixed.argmax(0))
    return torch.cat(labels), (f[0], z)


def _probabilities(both, block, geo):
    first, last, start, stop = block
    matrix = geo.rows[first:last, start:stop]
    return [torch.matmul(matrix, columns[:, start:stop]).softmax(0) for columns in both]

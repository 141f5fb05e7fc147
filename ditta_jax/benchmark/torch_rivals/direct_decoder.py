"""The SegFormer decoder with the temporal fusion module in plain PyTorch, evaluated directly.

Attention of the fusion module is dense with a mask, and every map is materialised. Names follow the
released checkpoints (`linear_c1.proj`, `linear_fuse.conv`, `query_layer.0`, `proj_feat.0`, …).
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ditta_jax.benchmark.torch_rivals.direct_encoder import MixTransformer


class ClipOutput(NamedTuple):
    """What a student says about the last frame of a clip.

    Attributes:
        plain: logits `[C, h, w]`.
        fused: logits `[C, h, w]`; None for a clip of one frame.
        projected: output of the projection head `[D, h, w]`.
    """

    plain: Tensor
    fused: Tensor | None
    projected: Tensor


class LevelLinear(nn.Module):
    """Linear layer over the channels of a map."""

    def __init__(self, inputs: int, outputs: int):
        """The inner name `proj` is the checkpoints'."""
        super().__init__()
        self.proj = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """`[n, c, h, w]` to `[n, D, h, w]`."""
        return self.proj(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class FuseConv(nn.Module):
    """1×1 convolution without bias, BatchNorm, ReLU."""

    def __init__(self, inputs: int, outputs: int):
        """Torch's defaults: eps 1e-5, momentum 0.1, unbiased running variance."""
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Statistics over all frames of the clip in training mode."""
        return functional.relu(self.bn(self.conv(x)))


def window_mask(height: int, width: int, radius: int, device: torch.device | None = None) -> Tensor:
    """`[h·w, h·w]`, true where a key lies in the square window around a query."""
    rows, columns = (torch.arange(n, device=device) for n in (height, width))
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    y, x = y.flatten(), x.flatten()
    near_y = (y[:, None] - y[None, :]).abs() <= radius
    near_x = (x[:, None] - x[None, :]).abs() <= radius
    return near_y & near_x


def mlp(inputs: int, layers: int, convolution: bool) -> nn.Sequential:
    """`layers` layers `inputs → inputs` with ReLU between; linear or 1×1 convolutions."""
    parts: list[nn.Module] = []
    for i in range(layers):
        parts += [nn.ReLU()] if i else []
        parts += [nn.Conv2d(inputs, inputs, 1) if convolution else nn.Linear(inputs, inputs)]
    return nn.Sequential(*parts)


class Decoder(nn.Module):
    """Maps of the encoder to logits, fused logits and projected features."""

    def __init__(
        self,
        channels: Sequence[int],
        num_classes: int,
        embed_dim: int = 256,
        radius: int = 5,
        dropout: float = 0.0,
    ):
        """`dropout` drops whole channels of the embedding before the classifier."""
        super().__init__()
        self.radius = radius
        self.linear_c4 = LevelLinear(channels[3], embed_dim)
        self.linear_c3 = LevelLinear(channels[2], embed_dim)
        self.linear_c2 = LevelLinear(channels[1], embed_dim)
        self.linear_c1 = LevelLinear(channels[0], embed_dim)
        self.linear_fuse = FuseConv(4 * embed_dim, embed_dim)
        self.dropout = nn.Dropout2d(dropout)
        self.linear_pred = nn.Conv2d(embed_dim, num_classes, 1)
        self.query_layer = mlp(embed_dim, 2, convolution=False)
        self.key_layer = mlp(embed_dim, 2, convolution=False)
        self.proj_feat = mlp(embed_dim, 3, convolution=True)

    def embed(self, maps: Sequence[Tensor]) -> Tensor:
        """Four maps to the embedding `[n, D, h, w]` at the first map's size."""
        size = maps[0].shape[2:]
        linears = (self.linear_c4, self.linear_c3, self.linear_c2, self.linear_c1)
        levels = [
            bilinear(linear(x), size) for linear, x in zip(linears, reversed(maps), strict=True)
        ]
        return self.linear_fuse(torch.cat(levels, 1))

    def classify(self, embedding: Tensor) -> Tensor:
        """Embedding to logits `[n, C, h, w]`, with channel dropout in training mode."""
        return self.linear_pred(self.dropout(embedding))

    def fuse(self, previous: Tensor, current: Tensor, previous_logits: Tensor) -> Tensor:
        """Windowed attention from frame t to frame t−1, evaluated densely.

        Args:
            previous: embedding of frame t−1, `[D, h, w]`.
            current: embedding of frame t, `[D, h, w]`.
            previous_logits: plain logits of frame t−1, `[C, h, w]`.

        Returns:
            fused logits of frame t, `[C, h, w]`.
        """
        _, height, width = current.shape
        q = self.query_layer(current.flatten(1).T)
        k = self.key_layer(previous.flatten(1).T)
        v = previous_logits.flatten(1).T
        outside = ~window_mask(height, width, self.radius, current.device)
        weights = (q @ k.T).masked_fill(outside, -torch.inf).softmax(-1)
        return (weights @ v).T.reshape(-1, height, width)

    def forward(self, maps: Sequence[Tensor]) -> ClipOutput:
        """A clip's maps (one or two frames, in time order) to the last frame's outputs."""
        embedding = self.embed(maps)
        logits = self.classify(embedding)
        fused = None
        if len(embedding) > 1:
            fused = self.fuse(embedding[-2], embedding[-1], logits[-2])
        return ClipOutput(logits[-1], fused, self.proj_feat(embedding[-1:])[0])


class Student(nn.Module):
    """Encoder and decoder under the released names `backbone` and `decode_head`."""

    def __init__(
        self,
        channels: Sequence[int],
        depths: Sequence[int],
        num_classes: int,
        heads: Sequence[int] = (1, 2, 5, 8),
        reductions: Sequence[int] = (8, 4, 2, 1),
        embed_dim: int = 256,
        radius: int = 5,
        dropout: float = 0.0,
        stochastic_depth: float = 0.0,
    ):
        """Sizes as in the method's table; both stochastic parts are off by default."""
        super().__init__()
        self.backbone = MixTransformer(
            channels, depths, heads, reductions, stochastic_depth=stochastic_depth
        )
        self.decode_head = Decoder(channels, num_classes, embed_dim, radius, dropout)

    def forward(self, images: Tensor) -> ClipOutput:
        """Normalised images `[n, 3, H_i, W_i]` of a clip; the encoder gets no gradient."""
        with torch.no_grad():
            maps = self.backbone(images)
        return self.decode_head(maps)


def bilinear(x: Tensor, size: Sequence[int]) -> Tensor:
    """Resize `[n, c, h, w]`: half-pixel centres, no antialiasing."""
    return functional.interpolate(x, tuple(size), mode="bilinear", align_corners=False)

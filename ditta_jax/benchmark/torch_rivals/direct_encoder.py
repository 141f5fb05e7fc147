"""The Mix Transformer encoder in plain PyTorch, written from the method's description.

The slow, obvious second opinion that tests compare with, and the benchmark's rival (a). Parameter
names follow the released checkpoints (`patch_embed1.proj`, `block1.0.attn.q`, `norm1`, …), so a
state dict needs no mapping.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class StochasticDepth(nn.Module):
    """Drops a whole residual branch for a sample with probability `rate`, in training mode."""

    def __init__(self, rate: float):
        """Keep the rate; 0 makes the module the identity."""
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Zero the samples that are dropped and rescale the others by `1 / (1 - rate)`."""
        if not self.training or self.rate == 0.0:
            return x
        keep = torch.rand(x.shape[0], 1, 1, dtype=x.dtype, device=x.device) >= self.rate
        return x * keep / (1.0 - self.rate)


class PatchEmbed(nn.Module):
    """Overlapping patches: a strided convolution with padding `kernel // 2`, then a LayerNorm."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int):
        """Kernel and stride are 7/4 in the first stage, 3/2 later."""
        super().__init__()
        self.proj = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)
        self.norm = nn.LayerNorm(outputs, eps=1e-5)

    def forward(self, x: Tensor) -> tuple[Tensor, int, int]:
        """`[n, c, H, W]` to tokens `[n, h·w, d]` with their height and width."""
        x = self.proj(x)
        height, width = x.shape[2:]
        return self.norm(x.flatten(2).transpose(1, 2)), height, width


class Attention(nn.Module):
    """Multi-head attention whose keys and values come from a spatially reduced map."""

    def __init__(self, dim: int, heads: int, reduction: int):
        """`sr` and `norm` exist only where the reduction exceeds 1."""
        super().__init__()
        self.heads, self.reduction = heads, reduction
        self.q = nn.Linear(dim, dim)
        self.kv = nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)
        if reduction > 1:
            self.sr = nn.Conv2d(dim, dim, reduction, reduction)
            self.norm = nn.LayerNorm(dim, eps=1e-5)

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        """Reduce the keys' map, project, attend, join the heads."""
        n, _, dim = x.shape
        source = x
        if self.reduction > 1:
            image = x.transpose(1, 2).reshape(n, dim, height, width)
            source = self.norm(self.sr(image).flatten(2).transpose(1, 2))
        size = dim // self.heads
        q = self.q(x).reshape(n, -1, self.heads, size).transpose(1, 2)
        k, v = self.kv(source).reshape(n, -1, 2, self.heads, size).permute(2, 0, 3, 1, 4)
        return self.proj(self.attend(q, k, v).transpose(1, 2).reshape(n, -1, dim))

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Softmax of `q kᵀ / √(head size)` applied to v, evaluated directly."""
        return (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1) @ v


class DepthwiseConv(nn.Module):
    """3×3 depthwise convolution on tokens."""

    def __init__(self, dim: int):
        """The inner name `dwconv` is the checkpoints'."""
        super().__init__()
        self.dwconv = nn.Conv2d(dim, dim, 3, 1, 1, groups=dim)

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        """Tokens to image, convolve, back to tokens."""
        n, _, dim = x.shape
        image = x.transpose(1, 2).reshape(n, dim, height, width)
        return self.dwconv(image).flatten(2).transpose(1, 2)


class MixMlp(nn.Module):
    """Linear, depthwise convolution, GELU (erf), linear."""

    def __init__(self, dim: int, hidden: int):
        """Hidden size is the MLP ratio times the channels."""
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.dwconv = DepthwiseConv(hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        """Tokens `[n, h·w, dim]` in and out."""
        hidden = self.dwconv(self.fc1(x), height, width)
        return self.fc2(nn.functional.gelu(hidden))


class Block(nn.Module):
    """Pre-norm transformer block with stochastic depth on both residual branches."""

    def __init__(self, dim: int, heads: int, reduction: int, mlp_ratio: int, drop: float):
        """Block norms use eps 1e-6."""
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, heads, reduction)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = MixMlp(dim, mlp_ratio * dim)
        self.drop_path = StochasticDepth(drop)

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        """Tokens in, tokens out."""
        x = x + self.drop_path(self.attn(self.norm1(x), height, width))
        return x + self.drop_path(self.mlp(self.norm2(x), height, width))


class MixTransformer(nn.Module):
    """Four stages at strides 4, 8, 16 and 32."""

    def __init__(
        self,
        channels: Sequence[int],
        depths: Sequence[int],
        heads: Sequence[int] = (1, 2, 5, 8),
        reductions: Sequence[int] = (8, 4, 2, 1),
        mlp_ratio: int = 4,
        stochastic_depth: float = 0.0,
    ):
        """`stochastic_depth` is the last block's rate; rates rise linearly from 0."""
        super().__init__()
        rates = iter(torch.linspace(0.0, stochastic_depth, sum(depths)).tolist())
        self.stages = len(channels)
        inputs = 3
        for i, dim in enumerate(channels):
            kernel, stride = (7, 4) if i == 0 else (3, 2)
            embed = PatchEmbed(inputs, dim, kernel, stride)
            blocks = nn.ModuleList(
                Block(dim, heads[i], reductions[i], mlp_ratio, next(rates))
                for _ in range(depths[i])
            )
            setattr(self, f"patch_embed{i + 1}", embed)
            setattr(self, f"block{i + 1}", blocks)
            setattr(self, f"norm{i + 1}", nn.LayerNorm(dim, eps=1e-6))
            inputs = dim

    def forward(self, image: Tensor) -> list[Tensor]:
        """`[n, 3, H_i, W_i]` to the four maps `[n, c_i, H_i/2^(i+1), W_i/2^(i+1)]`."""
        maps = []
        x = image
        for i in range(1, self.stages + 1):
            tokens, height, width = getattr(self, f"patch_embed{i}")(x)
            for block in getattr(self, f"block{i}"):
                tokens = block(tokens, height, width)
            tokens = getattr(self, f"norm{i}")(tokens)
            x = tokens.transpose(1, 2).reshape(len(tokens), -1, height, width)
            maps.append(x)
        return maps

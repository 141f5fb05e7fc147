"""The layout of the released DiTTA, CFFM and mmsegmentation SegFormer checkpoints."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from ditta_jax.errors import UserError
from ditta_jax.students.layouts.weight_layout import (
    BATCH_NORM,
    CONV,
    LINEAR,
    NORM,
    POINTWISE,
    POINTWISE_NO_BIAS,
    Layer,
    Layout,
)
from ditta_jax.students.segformer.config import SegFormerConfig

_BLOCK = "backbone.block{number}.{block}"
_OURS = "encoder.stages.{level}.blocks.{block}"

RELEASED = Layout(
    name="released",
    level=(
        Layer("backbone.patch_embed{number}.proj", "encoder.stages.{level}.patch_embed.proj", CONV),
        Layer("backbone.patch_embed{number}.norm", "encoder.stages.{level}.patch_embed.norm", NORM),
        Layer("backbone.norm{number}", "encoder.stages.{level}.norm", NORM),
        Layer("decode_head.linear_c{number}.proj", "decoder.linear_{number}", LINEAR),
    ),
    block=(
        Layer(f"{_BLOCK}.norm1", f"{_OURS}.norm1", NORM),
        Layer(f"{_BLOCK}.attn.q", f"{_OURS}.attn.q", LINEAR),
        Layer(f"{_BLOCK}.attn.kv", f"{_OURS}.attn.kv", LINEAR),
        Layer(f"{_BLOCK}.attn.proj", f"{_OURS}.attn.proj", LINEAR),
        Layer(f"{_BLOCK}.norm2", f"{_OURS}.norm2", NORM),
        Layer(f"{_BLOCK}.mlp.fc1", f"{_OURS}.mlp.fc1", LINEAR),
        Layer(f"{_BLOCK}.mlp.dwconv.dwconv", f"{_OURS}.mlp.dwconv", CONV),
        Layer(f"{_BLOCK}.mlp.fc2", f"{_OURS}.mlp.fc2", LINEAR),
    ),
    reduced_block=(
        Layer(f"{_BLOCK}.attn.sr", f"{_OURS}.attn.sr", CONV),
        Layer(f"{_BLOCK}.attn.norm", f"{_OURS}.attn.norm", NORM),
    ),
    head=(
        Layer("decode_head.linear_fuse.conv", "decoder.fuse", POINTWISE_NO_BIAS),
        Layer("decode_head.linear_fuse.bn", "decoder.norm", BATCH_NORM),
        Layer("decode_head.linear_pred", "decoder.classifier", POINTWISE),
        Layer("decode_head.query_layer.0", "fusion.query.layers.0", LINEAR, "temporal fusion"),
        Layer("decode_head.query_layer.2", "fusion.query.layers.1", LINEAR, "temporal fusion"),
        Layer("decode_head.key_layer.0", "fusion.key.layers.0", LINEAR, "temporal fusion"),
        Layer("decode_head.key_layer.2", "fusion.key.layers.1", LINEAR, "temporal fusion"),
        Layer("decode_head.proj_feat.0", "decoder.projection.layers.0", POINTWISE, "projection"),
        Layer("decode_head.proj_feat.2", "decoder.projection.layers.1", POINTWISE, "projection"),
        Layer("decode_head.proj_feat.4", "decoder.projection.layers.2", POINTWISE, "projection"),
    ),
    unused=(
        (r".*\.num_batches_tracked", "a counter that torch's BatchNorm does not compute with"),
        (
            r"decode_head\.conv_seg\.(weight|bias)",
            "mmsegmentation's classifier; SegFormer has its own",
        ),
        (r"auxiliary_head\..*", "an auxiliary loss of the pre-training"),
    ),
)


# What shapes do not show; files that this package wrote carry these fields along.
_UNSEEN = (
    *("heads", "radius", "patch_norm_eps", "block_norm_eps", "reduction_norm_eps"),
    *("mean", "std"),
)


def student_config(
    arrays: Mapping[str, np.ndarray],
    source: str,
    heads: tuple[int, ...] | None = None,
    written: Mapping[str, Any] | None = None,
) -> SegFormerConfig:
    """Sizes of the student from the shapes of its weights.

    Args:
        arrays: by released key.
        source: names the origin in messages.
        heads: attention heads per level, which no shape shows; (1, 2, 5, 8) by default.
        written: fields of the `SegFormerConfig` that a file of this package names.

    Raises:
        UserError: a key that fixes a size is missing, or the heads do not divide the channels.
    """

    def shape(key: str) -> tuple[int, ...]:
        if key not in arrays:
            raise UserError(
                f"{source} is not in the released layout: '{key}' is missing "
                f"(it has {len(arrays)} keys such as {', '.join(sorted(arrays)[:3]) or 'none'}); "
                "of a Hugging Face model give the folder"
            )
        return arrays[key].shape

    levels = range(1, 5)
    channels = tuple(shape(f"backbone.patch_embed{n}.proj.weight")[0] for n in levels)
    unseen = {key: value for key, value in (written or {}).items() if key in _UNSEEN}
    stated = unseen.pop("heads", (1, 2, 5, 8))
    heads = tuple(heads or stated)
    if len(heads) != 4 or any(c % h for c, h in zip(channels, heads, strict=True)):
        raise UserError(
            f"{source}: channels {channels} cannot be split over heads {heads}; "
            "say which with --heads a,b,c,d"
        )
    reductions = []
    for n in levels:
        key = f"backbone.block{n}.0.attn.sr.weight"
        reductions.append(arrays[key].shape[-1] if key in arrays else 1)
    num_classes, embed_dim = shape("decode_head.linear_pred.weight")[:2]
    return SegFormerConfig(
        num_classes=num_classes,
        channels=channels,
        depths=tuple(_depth(arrays, n) for n in levels),
        heads=heads,
        reductions=tuple(reductions),
        mlp_ratio=shape("backbone.block1.0.mlp.fc1.weight")[0] // channels[0],
        embed_dim=embed_dim,
        **unseen,
    )


def _depth(arrays: Mapping[str, np.ndarray], number: int) -> int:
    """One more than the highest block index of a level; at least 1, so that keys are missed."""
    pattern = re.compile(rf"backbone\.block{number}\.(\d+)\.")
    found = [int(match[1]) for key in arrays if (match := pattern.match(key))]
    return max(found, default=0) + 1

"""The layout of OpenMMLab's own SegFormer (mmsegmentation 0.20 and later)."""

import numpy as np

from ditta_jax.students.layouts.released_layout import RELEASED
from ditta_jax.students.layouts.weight_layout import (
    BATCH_NORM,
    CONV,
    COUNTERS,
    LINEAR,
    NORM,
    POINTWISE,
    POINTWISE_NO_BIAS,
    Layer,
    Layout,
)
from ditta_jax.students.openmmlab.config import OpenMMLabConfig

_BLOCK = "backbone.layers.{level}.1.{block}"
_LEVEL = "encoder.stages.{level}"
_OURS = "encoder.stages.{level}.blocks.{block}"
_JOINED = "attn.attn.in_proj_"


def _split_attention(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Query, and key with value, out of the one array that torch's attention keeps them in."""
    split = {}
    for key, array in arrays.items():
        before, joined, kind = key.partition(_JOINED)
        if joined and len(array) % 3 == 0:
            query, key_and_value = np.split(array, [len(array) // 3])
            split[f"{before}attn.attn.q.{kind}"] = query
            split[f"{before}attn.attn.kv.{kind}"] = key_and_value
        else:
            split[key] = array
    return split


OPENMMLAB = Layout(
    name="OpenMMLab SegFormer",
    encoder=("backbone.", "layers.0.0.projection.weight"),
    decoder=("decode_head.", "convs.0.conv.weight"),
    level=(
        Layer("backbone.layers.{level}.0.projection", f"{_LEVEL}.patch_embed.proj", CONV),
        Layer("backbone.layers.{level}.0.norm", f"{_LEVEL}.patch_embed.norm", NORM),
        Layer("backbone.layers.{level}.2", f"{_LEVEL}.norm", NORM),
        Layer("decode_head.convs.{level}.conv", "decoder.linear_{number}", POINTWISE_NO_BIAS),
        Layer("decode_head.convs.{level}.bn", "decoder.norm_{number}", BATCH_NORM),
    ),
    block=(
        Layer(f"{_BLOCK}.norm1", f"{_OURS}.norm1", NORM),
        Layer(f"{_BLOCK}.attn.attn.q", f"{_OURS}.attn.q", LINEAR),
        Layer(f"{_BLOCK}.attn.attn.kv", f"{_OURS}.attn.kv", LINEAR),
        Layer(f"{_BLOCK}.attn.attn.out_proj", f"{_OURS}.attn.proj", LINEAR),
        Layer(f"{_BLOCK}.norm2", f"{_OURS}.norm2", NORM),
        Layer(f"{_BLOCK}.ffn.layers.0", f"{_OURS}.mlp.fc1", POINTWISE),
        Layer(f"{_BLOCK}.ffn.layers.1", f"{_OURS}.mlp.dwconv", CONV),
        Layer(f"{_BLOCK}.ffn.layers.4", f"{_OURS}.mlp.fc2", POINTWISE),
    ),
    reduced_block=(
        Layer(f"{_BLOCK}.attn.sr", f"{_OURS}.attn.sr", CONV),
        Layer(f"{_BLOCK}.attn.norm", f"{_OURS}.attn.norm", NORM),
    ),
    head=(
        Layer("decode_head.fusion_conv.conv", "decoder.fuse", POINTWISE_NO_BIAS),
        Layer("decode_head.fusion_conv.bn", "decoder.norm", BATCH_NORM),
        Layer("decode_head.conv_seg", "decoder.classifier", POINTWISE),
        # OpenMMLab has neither of DiTTA's additions; names as if it had.
        *(layer for layer in RELEASED.head if layer.group),
    ),
    unused=(
        COUNTERS,
        (r"decode_head\.(loss|criterion).*", "of the training's loss"),
    ),
    config=OpenMMLabConfig,
    prepare=_split_attention,
)

"""The layout of the released DiTTA, CFFM and mmsegmentation SegFormer checkpoints."""

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

_BLOCK = "backbone.block{number}.{block}"
_OURS = "encoder.stages.{level}.blocks.{block}"

RELEASED = Layout(
    name="released",
    encoder=("backbone.", "patch_embed1.proj.weight"),
    decoder=("decode_head.", "linear_c1.proj.weight"),
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
        COUNTERS,
        (
            r"decode_head\.conv_seg\.(weight|bias)",
            "mmsegmentation's classifier; SegFormer has its own",
        ),
        (r"backbone\.head\.(weight|bias)", "a classifier of whole images"),
        (r"decode_head\.(loss|criterion).*", "of the training's loss"),
    ),
)

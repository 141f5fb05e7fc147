"""The layouts of Hugging Face SegFormer models, by the names of `transformers` 4 and 5."""

from collections.abc import Mapping

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

# `transformers` builds every LayerNorm of SegFormer with torch's default and never reads its
# `layer_norm_eps` setting, so this is the value its models compute with.
LAYER_NORM_EPS = 1e-5


def _layout(name: str, words: Mapping[str, str]) -> Layout:
    """The table of one generation of `transformers`, by its words for the parts."""
    block, attention = words["block"], words["attention"]
    here = "encoder.stages.{level}.blocks.{block}"
    return Layout(
        name=name,
        encoder=("segformer.", words["embed"].format(level=0) + ".proj.weight"),
        decoder=("decode_head.", words["linear"].format(level=0) + ".proj.weight"),
        level=(
            Layer(
                f"segformer.{words['embed']}.proj", "encoder.stages.{level}.patch_embed.proj", CONV
            ),
            Layer(
                f"segformer.{words['embed']}.layer_norm",
                "encoder.stages.{level}.patch_embed.norm",
                NORM,
            ),
            Layer(f"segformer.{words['norm']}", "encoder.stages.{level}.norm", NORM),
            Layer(f"decode_head.{words['linear']}.proj", "decoder.linear_{number}", LINEAR),
        ),
        block=(
            Layer(f"{block}.{words['norm_1']}", f"{here}.norm1", NORM),
            Layer(f"{attention}{words['query']}", f"{here}.attn.q", LINEAR),
            Layer(
                (f"{attention}{words['key']}", f"{attention}{words['value']}"),
                f"{here}.attn.kv",
                LINEAR,
            ),
            Layer(f"{block}.attention.{words['output']}", f"{here}.attn.proj", LINEAR),
            Layer(f"{block}.{words['norm_2']}", f"{here}.norm2", NORM),
            Layer(f"{block}.mlp.{words['mlp']}1", f"{here}.mlp.fc1", LINEAR),
            Layer(f"{block}.mlp.dwconv.dwconv", f"{here}.mlp.dwconv", CONV),
            Layer(f"{block}.mlp.{words['mlp']}2", f"{here}.mlp.fc2", LINEAR),
        ),
        reduced_block=(
            Layer(f"{attention}{words['reduce']}", f"{here}.attn.sr", CONV),
            Layer(f"{attention}{words['reduce_norm']}", f"{here}.attn.norm", NORM),
        ),
        head=(
            Layer("decode_head.linear_fuse", "decoder.fuse", POINTWISE_NO_BIAS),
            Layer("decode_head.batch_norm", "decoder.norm", BATCH_NORM),
            Layer("decode_head.classifier", "decoder.classifier", POINTWISE),
            # SegFormer has neither of DiTTA's additions; names as if it had, for the way out.
            *(layer for layer in RELEASED.head if layer.group),
        ),
        unused=(COUNTERS,),
        fixed={f"{place}_norm_eps": LAYER_NORM_EPS for place in ("patch", "block", "reduction")},
    )


# Names in the files of `transformers` 4, which version 5 writes too; the second, in memory in
# version 5 and in state dicts that are saved from there.
HUGGINGFACE = _layout(
    "Hugging Face SegFormer",
    {
        "embed": "encoder.patch_embeddings.{level}",
        "norm": "encoder.layer_norm.{level}",
        "linear": "linear_c.{level}",
        "block": "segformer.encoder.block.{level}.{block}",
        "attention": "segformer.encoder.block.{level}.{block}.attention.self.",
        "norm_1": "layer_norm_1",
        "norm_2": "layer_norm_2",
        **{word: word for word in ("query", "key", "value")},
        "output": "output.dense",
        "mlp": "dense",
        "reduce": "sr",
        "reduce_norm": "layer_norm",
    },
)
HUGGINGFACE_5 = _layout(
    "Hugging Face SegFormer (transformers 5)",
    {
        "embed": "stages.{level}.patch_embeddings",
        "norm": "stages.{level}.layer_norm",
        "linear": "linear_projections.{level}",
        "block": "segformer.stages.{level}.blocks.{block}",
        "attention": "segformer.stages.{level}.blocks.{block}.attention.",
        "norm_1": "layernorm_before",
        "norm_2": "layernorm_after",
        **{word: f"{word[0]}_proj" for word in ("query", "key", "value")},
        "output": "o_proj",
        "mlp": "fc",
        "reduce": "sequence_reduction.sequence_reduction",
        "reduce_norm": "sequence_reduction.layer_norm",
    },
)

"""The layout of Hugging Face SegFormer folders (`model.safetensors` with `config.json`)."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ditta_jax.errors import UserError
from ditta_jax.students.layouts.released_layout import RELEASED
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

# `transformers` builds every LayerNorm of SegFormer with torch's default and never reads its
# `layer_norm_eps` setting, so this is the value its models compute with.
LAYER_NORM_EPS = 1e-5

_EMBED = "segformer.encoder.patch_embeddings.{level}"
_BLOCK = "segformer.encoder.block.{level}.{block}"
_OURS = "encoder.stages.{level}.blocks.{block}"

HUGGINGFACE = Layout(
    name="Hugging Face SegFormer",
    level=(
        Layer(f"{_EMBED}.proj", "encoder.stages.{level}.patch_embed.proj", CONV),
        Layer(f"{_EMBED}.layer_norm", "encoder.stages.{level}.patch_embed.norm", NORM),
        Layer("segformer.encoder.layer_norm.{level}", "encoder.stages.{level}.norm", NORM),
        Layer("decode_head.linear_c.{level}.proj", "decoder.linear_{number}", LINEAR),
    ),
    block=(
        Layer(f"{_BLOCK}.layer_norm_1", f"{_OURS}.norm1", NORM),
        Layer(f"{_BLOCK}.attention.self.query", f"{_OURS}.attn.q", LINEAR),
        Layer(
            (f"{_BLOCK}.attention.self.key", f"{_BLOCK}.attention.self.value"),
            f"{_OURS}.attn.kv",
            LINEAR,
        ),
        Layer(f"{_BLOCK}.attention.output.dense", f"{_OURS}.attn.proj", LINEAR),
        Layer(f"{_BLOCK}.layer_norm_2", f"{_OURS}.norm2", NORM),
        Layer(f"{_BLOCK}.mlp.dense1", f"{_OURS}.mlp.fc1", LINEAR),
        Layer(f"{_BLOCK}.mlp.dwconv.dwconv", f"{_OURS}.mlp.dwconv", CONV),
        Layer(f"{_BLOCK}.mlp.dense2", f"{_OURS}.mlp.fc2", LINEAR),
    ),
    reduced_block=(
        Layer(f"{_BLOCK}.attention.self.sr", f"{_OURS}.attn.sr", CONV),
        Layer(f"{_BLOCK}.attention.self.layer_norm", f"{_OURS}.attn.norm", NORM),
    ),
    head=(
        Layer("decode_head.linear_fuse", "decoder.fuse", POINTWISE_NO_BIAS),
        Layer("decode_head.batch_norm", "decoder.norm", BATCH_NORM),
        Layer("decode_head.classifier", "decoder.classifier", POINTWISE),
        # SegFormer has neither of DiTTA's additions; names as if it had, for the way out.
        *(layer for layer in RELEASED.head if layer.group),
    ),
    unused=(
        (r".*\.num_batches_tracked", "a counter that torch's BatchNorm does not compute with"),
    ),
)


def read_config(folder: Path) -> tuple[SegFormerConfig, tuple[str, ...]]:
    """Sizes of the student and class names from a folder's `config.json`.

    Raises:
        UserError: no or a broken file, another kind of model, or a setting that a student lacks.
    """
    path = folder / "config.json"
    try:
        settings = json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path} is missing; a Hugging Face model folder has one") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{path} is not readable JSON: {error}") from error
    if not isinstance(settings, dict) or settings.get("model_type") != "segformer":
        raise UserError(f"{path}: 'model_type' must be \"segformer\"")
    _check_fixed(settings, path)
    names = _class_names(settings, path)
    ratios = set(_tuple(settings, "mlp_ratios", (4, 4, 4, 4), path))
    if len(ratios) != 1:
        raise UserError(f"{path}: 'mlp_ratios' differ between levels, which a student cannot do")
    config = SegFormerConfig(
        num_classes=len(names),
        channels=_tuple(settings, "hidden_sizes", (32, 64, 160, 256), path),
        depths=_tuple(settings, "depths", (2, 2, 2, 2), path),
        heads=_tuple(settings, "num_attention_heads", (1, 2, 5, 8), path),
        reductions=_tuple(settings, "sr_ratios", (8, 4, 2, 1), path),
        mlp_ratio=ratios.pop(),
        embed_dim=settings.get("decoder_hidden_size", 256),
        patch_norm_eps=LAYER_NORM_EPS,
        block_norm_eps=LAYER_NORM_EPS,
        reduction_norm_eps=LAYER_NORM_EPS,
    )
    return config, names


def _check_fixed(settings: Mapping[str, Any], path: Path) -> None:
    """Settings that every published SegFormer shares and a student has built in."""
    fixed = {
        "patch_sizes": [7, 3, 3, 3],
        "strides": [4, 2, 2, 2],
        "hidden_act": "gelu",
        "num_channels": 3,
        "num_encoder_blocks": 4,
    }
    for key, value in fixed.items():
        if settings.get(key, value) != value:
            raise UserError(f"{path}: '{key}' is {settings[key]}; a student has {value}")


def _class_names(settings: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    """Names in label order; two classes without names where the file has none, as there."""
    names = settings.get("id2label", {"0": "LABEL_0", "1": "LABEL_1"})
    try:
        by_index = {int(index): str(name) for index, name in names.items()}
    except (AttributeError, ValueError) as error:
        raise UserError(f"{path}: 'id2label' must map class numbers to names") from error
    if sorted(by_index) != list(range(len(by_index))):
        raise UserError(f"{path}: 'id2label' must number the classes 0, 1, 2, … without gaps")
    return tuple(by_index[index] for index in range(len(by_index)))


def _tuple(settings, key: str, default: tuple[int, ...], path: Path) -> tuple[int, ...]:
    value = settings.get(key, default)
    if not isinstance(value, list | tuple) or len(value) != 4:
        raise UserError(f"{path}: '{key}' must list four numbers, not {value!r}")
    return tuple(int(v) for v in value)


def weight_file(folder: Path) -> Path:
    """The file with a folder's weights: `model.safetensors`, in older ones `pytorch_model.bin`.

    Raises:
        UserError: neither exists.
    """
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (folder / name).is_file():
            return folder / name
    raise UserError(f"{folder}: neither model.safetensors nor pytorch_model.bin is in the folder")

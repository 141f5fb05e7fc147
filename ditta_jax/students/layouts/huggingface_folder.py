"""Hugging Face SegFormer folders: sizes and names, what is said of the input, and the weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ditta_jax.errors import UserError
from ditta_jax.files import parse_json
from ditta_jax.ranges import shown
from ditta_jax.students.card import StudentCard
from ditta_jax.students.layouts import weight_files
from ditta_jax.students.layouts.huggingface_layout import LAYER_NORM_EPS
from ditta_jax.students.segformer.config import SegFormerConfig
from ditta_jax.students.sizes import MEAN, STD

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
WEIGHTS = "model.safetensors"
WEIGHT_FILES = (
    *(WEIGHTS, f"{WEIGHTS}{weight_files.INDEX_ENDING}"),
    *("pytorch_model.bin", f"pytorch_model.bin{weight_files.INDEX_ENDING}"),
)
_GREY_LEVELS = 255.0
_MOST_BYTES = 16 * 2**20
# Settings that every published SegFormer shares and a student has built in.
_FIXED = {
    "patch_sizes": [7, 3, 3, 3],
    "strides": [4, 2, 2, 2],
    "hidden_act": "gelu",
    "num_channels": 3,
    "num_encoder_blocks": 4,
}
_LISTS = {
    "channels": ("hidden_sizes", (32, 64, 160, 256)),
    "depths": ("depths", (2, 2, 2, 2)),
    "heads": ("num_attention_heads", (1, 2, 5, 8)),
    "reductions": ("sr_ratios", (8, 4, 2, 1)),
}
# What the feature extractor of `transformers` takes where its file is silent: ImageNet's.
_DEFAULT_MEAN, _DEFAULT_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def read_config(folder: Path) -> tuple[SegFormerConfig, tuple[str, ...]]:
    """Sizes of the student and class names from a folder's JSON files.

    Raises:
        UserError: no or a broken file, another kind of model, or a setting that a student lacks.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise UserError(f"{path} is missing; a Hugging Face model folder has one{_hint(folder)}")
    settings = _json(path)
    if settings.get("model_type") != "segformer":
        kind = shown(settings.get("model_type"))
        raise UserError(f"{path}: 'model_type' must be \"segformer\", not {kind}")
    for key, value in _FIXED.items():
        if settings.get(key, value) != value:
            raise UserError(f"{path}: '{key}' is {settings[key]}; a student has {value}")
    names = _class_names(settings, path)
    ratios = set(_four(settings, "mlp_ratios", (4, 4, 4, 4), path))
    if len(ratios) != 1:
        raise UserError(f"{path}: 'mlp_ratios' differ between levels, which a student cannot do")
    mean, std = _normalisation(folder / PREPROCESSOR)
    levels: dict[str, Any]
    levels = {own: _four(settings, key, like, path) for own, (key, like) in _LISTS.items()}
    try:
        config = SegFormerConfig(
            num_classes=len(names),
            mlp_ratio=ratios.pop(),
            embed_dim=settings.get("decoder_hidden_size", 256),
            patch_norm_eps=LAYER_NORM_EPS,
            block_norm_eps=LAYER_NORM_EPS,
            reduction_norm_eps=LAYER_NORM_EPS,
            mean=mean,
            std=std,
            **levels,
        )
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    return config, names


def is_segformer(folder: Path) -> bool:
    """Whether a folder's config.json is that of a SegFormer of `transformers`."""
    path = folder / CONFIG
    return path.is_file() and _json(path).get("model_type") == "segformer"


def weight_file(folder: Path) -> Path:
    """The file with a folder's weights, or the index of its shards.

    Raises:
        UserError: there is none.
    """
    for name in WEIGHT_FILES:
        if (folder / name).is_file():
            return folder / name
    raise UserError(f"{folder}: neither {WEIGHTS} nor pytorch_model.bin is in the folder")


def write(folder: Path, arrays: Mapping[str, np.ndarray], card: StudentCard) -> None:
    """Write the files of a folder that `transformers` reads.

    Args:
        folder: new and empty.
        arrays: by the keys of the layout.
        card: of the student.
    """
    config = card.config
    assert isinstance(config, SegFormerConfig)
    labels = dict(enumerate(card.classes))
    settings = {
        "architectures": ["SegformerForSemanticSegmentation"],
        "model_type": "segformer",
        **_FIXED,
        **{key: list(getattr(config, own)) for own, (key, _) in _LISTS.items()},
        "mlp_ratios": [config.mlp_ratio] * len(config.depths),
        "decoder_hidden_size": config.embed_dim,
        "id2label": {str(index): name for index, name in labels.items()},
        "label2id": {name: index for index, name in labels.items()},
        "torch_dtype": "float32",
    }
    preprocessor = {
        "image_processor_type": "SegformerImageProcessor",
        "do_normalize": True,
        "do_rescale": True,
        "rescale_factor": 1 / _GREY_LEVELS,
        "image_mean": [value / _GREY_LEVELS for value in config.mean],
        "image_std": [value / _GREY_LEVELS for value in config.std],
        "do_resize": False,
        "do_reduce_labels": False,
    }
    for name, content in ((CONFIG, settings), (PREPROCESSOR, preprocessor)):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n")
    weight_files.write(folder / WEIGHTS, arrays, card)


def _json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError("it is too large")
        content = parse_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not readable JSON: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds {type(content).__name__}, expected an object")
    return content


def _hint(folder: Path) -> str:
    """What a folder without config.json may be instead."""
    if (folder / "student.json").is_file():
        return "; this one is a student of this program already, use it as it is"
    if (folder / "snapshots").is_dir():
        return "; this one is a download cache, name a folder in its snapshots/"
    endings = (".pth", ".pt", ".ckpt", ".bin", ".safetensors", ".npz")
    files = sorted(file.name for file in folder.iterdir() if file.suffix in endings)
    return f"; of other weights name the file itself, such as {folder / files[0]}" if files else ""


def _class_names(settings: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    """Names in label order, made up where the file has none: as many as it says, else two."""
    names = settings.get("id2label")
    if names is None:
        count = settings.get("num_labels", 2)
        if type(count) is not int or not 0 < count < 10**6:
            raise UserError(f"{path}: 'num_labels' must be a number of classes, not {shown(count)}")
        return tuple(f"class {index}" for index in range(count))
    try:
        by_index = {int(index): str(name).strip() for index, name in names.items()}
    except (AttributeError, ValueError) as error:
        raise UserError(f"{path}: 'id2label' must map class numbers to names") from error
    if not by_index or sorted(by_index) != list(range(len(by_index))):
        raise UserError(f"{path}: 'id2label' must number the classes 0, 1, 2, … without gaps")
    return tuple(by_index[index] for index in range(len(by_index)))


def _four(settings: Mapping[str, Any], key: str, like: tuple, path: Path) -> tuple[int, ...]:
    value = settings.get(key, like)
    if not isinstance(value, list | tuple) or len(value) != 4:
        raise UserError(f"{path}: '{key}' must list four numbers, not {shown(value)}")
    if any(type(own) is not int for own in value):
        raise UserError(f"{path}: '{key}' must list four whole numbers, not {shown(value)}")
    return tuple(value)


def _normalisation(path: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation in grey levels; ImageNet's where the folder says nothing."""
    if not path.is_file():
        return MEAN, STD
    settings = _json(path)
    scale = settings.get("rescale_factor", 1 / _GREY_LEVELS)
    if settings.get("do_rescale", True) is False:
        scale = 1.0
    if settings.get("do_normalize", True) is False:
        settings = {**settings, "image_mean": [0.0] * 3, "image_std": [1.0] * 3}
    values = []
    for key, default in (("image_mean", _DEFAULT_MEAN), ("image_std", _DEFAULT_STD)):
        value = settings.get(key, default)
        try:
            # six digits: the factor is stored as 0.00392156862745098
            values.append(tuple(round(float(own) / float(scale), 6) for own in value))
        except (TypeError, ValueError, ZeroDivisionError, OverflowError) as error:
            raise UserError(
                f"{path}: '{key}' must list three numbers, not {shown(value)}"
            ) from error
    return values[0], values[1]

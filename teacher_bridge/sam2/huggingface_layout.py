"""Weights of `transformers`' SAM 2 video model under the names that the `sam2` package has.

The tensors are the same; only names differ, and the four point embeddings are one tensor there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_MARK = "vision_encoder.backbone.pos_embed"  # in every such file, in none of the other layout

_STEP = re.compile(r"memory_encoder\.mask_downsampler\.layers\.\d+\.conv\.weight")

_NAMES = {
    "no_memory_embedding": "no_mem_embed",
    "no_memory_positional_encoding": "no_mem_pos_enc",
    "memory_temporal_positional_encoding": "maskmem_tpos_enc",
    "no_object_pointer": "no_obj_ptr",
    "occlusion_spatial_embedding_parameter": "no_obj_embed_spatial",
    "prompt_encoder.shared_embedding.positional_embedding": (
        "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
    ),
}
# In this order, each wherever it is found.
_PARTS: list[tuple[str, str | Callable[[re.Match[str]], str]]] = [
    (r"^vision_encoder\.backbone\.", "image_encoder.trunk."),
    (r"^vision_encoder\.neck\.convs\.(\d+)\.", r"image_encoder.neck.convs.\1.conv."),
    (r"^prompt_encoder\.", "sam_prompt_encoder."),
    (r"^mask_decoder\.", "sam_mask_decoder."),
    (r"^object_pointer_proj\.", "obj_ptr_proj."),
    (r"^temporal_positional_encoding_projection_layer\.", "obj_ptr_tpos_proj."),
    (r"^memory_encoder\.feature_projection\.", "memory_encoder.pix_feat_proj."),
    (r"^memory_encoder\.projection\.", "memory_encoder.out_proj."),
    (r"^memory_encoder\.memory_fuser\.", "memory_encoder.fuser."),
    (r"\.patch_embed\.projection\.", ".patch_embed.proj."),
    (r"\.depthwise_conv\.", ".dwconv."),
    (r"\.pointwise_conv(\d)\.", r".pwconv\1."),
    (r"(fuser\.layers\.\d+)\.scale$", r"\1.gamma"),
    (r"\.mask_embed\.conv(\d)\.", lambda m: f".mask_downscaling.{3 * int(m[1]) - 3}."),
    (r"\.mask_embed\.layer_norm(\d)\.", lambda m: f".mask_downscaling.{3 * int(m[1]) - 2}."),
    (r"\.upscale_conv(\d)\.", lambda m: f".output_upscaling.{3 * int(m[1]) - 3}."),
    (r"\.upscale_layer_norm\.", ".output_upscaling.1."),
    (r"\.mask_downsampler\.layers\.(\d+)\.conv\.", lambda m: _downsampler(3 * int(m[1]))),
    (r"\.mask_downsampler\.layers\.(\d+)\.layer_norm\.", lambda m: _downsampler(3 * int(m[1]) + 1)),
    (r"\.layer_norm_final_attn\.", ".norm_final_attn."),
    (r"\.layer_norm(\d?)\.", r".norm\1."),
    (r"\.o_proj\.", ".out_proj."),
]


def is_huggingface(state: Mapping[str, object]) -> bool:
    """Say whether a state dict is of `transformers`' layout."""
    return _MARK in state


def to_package_layout(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return a state dict of `transformers` under the names of `sam2`."""
    depths = _depths(state)
    steps = sum(bool(_STEP.fullmatch(key)) for key in state)
    converted: dict[str, torch.Tensor] = {}
    for key, value in state.items():
        if key == "shared_image_embedding.positional_embedding":
            continue  # the prompt encoder's, a second time
        if key == "prompt_encoder.point_embed.weight":
            for i, row in enumerate(value):
                converted[f"sam_prompt_encoder.point_embeddings.{i}.weight"] = row[None]
            continue
        name = _name(key, depths)
        name = name.replace(".mask_downsampler.final_conv.", _downsampler(3 * steps))
        converted[name] = value
    return converted


def _name(key: str, depths: Mapping[str, int]) -> str:
    if key in _NAMES:
        return _NAMES[key]
    key = _in_order(key, depths)
    for pattern, replacement in _PARTS:
        key = re.sub(pattern, replacement, key)
    return key


# A perceptron is `proj_in`, `layers.0` ..., `proj_out` there and `layers.0`, `layers.1` ... here.
_PERCEPTRON = re.compile(
    r"^(?P<of>.*)\.(?P<part>proj_in|layers\.(?P<n>\d+)|proj_out)\.(?P<end>\w+)$"
)


def _depths(state: Mapping[str, object]) -> dict[str, int]:
    """Number of inner layers of each perceptron, by its name."""
    suffix = ".proj_in.weight"
    perceptrons = [key.removesuffix(suffix) for key in state if key.endswith(suffix)]
    inner = re.compile(r"\.layers\.\d+\.weight")
    return {
        name: sum(bool(inner.fullmatch(key[len(name) :])) for key in state if key.startswith(name))
        for name in perceptrons
    }


def _in_order(key: str, depths: Mapping[str, int]) -> str:
    match = _PERCEPTRON.match(key)
    if match is None or match["of"] not in depths:
        return key
    inner = depths[match["of"]]
    place = {"proj_in": 0, "proj_out": inner + 1}.get(match["part"])
    place = int(match["n"]) + 1 if place is None else place
    return f"{match['of']}.layers.{place}.{match['end']}"


def _downsampler(place: int) -> str:
    return f".mask_downsampler.encoder.{place}."

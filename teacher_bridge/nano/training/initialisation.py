"""Start values with which a nano SAM 2 learns to answer a click within a few hundred steps.

From the `sam2` package's own start values the mask stays a constant for more than a thousand
steps: embeddings of unit size drown the positional code of the click, and the mask decoder's
attention is near uniform, so no gradient says where the click was.
"""

from __future__ import annotations

from typing import Any  # the modules of `sam2` carry no types

import torch
from torch import Tensor, nn
from torch.nn import functional as F

POSITION_GAIN = 1.6  # of the shared query and key projections in the cross-attentions
IDENTITY_GAIN = 3.0  # of the first self-attention, which starts near the identity
MARK_OFFSETS = (3.1, 4.9)  # mean response to the click in the decoder's two layers
ROTARY_BIAS = 1.5  # of queries and keys in the memory attention
PRESENCE_BIAS = 3.0  # an object counts as visible until the model has learnt otherwise


@torch.no_grad()
def initialise(model: Any) -> None:
    """Set the start values of a freshly built `SAM2Base`, in place."""
    trunk = model.image_encoder.trunk
    for embedding in (trunk.pos_embed, trunk.pos_embed_window):
        nn.init.trunc_normal_(embedding, std=0.02)
    # The gate on this score writes -1024 over masks of objects it takes for absent.
    model.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(PRESENCE_BIAS)
    _shrink_embeddings(model)
    _align_cross_attention(model.sam_mask_decoder)
    _start_self_attention_as_identity(model.sam_mask_decoder.transformer.layers[0].self_attn)
    _mark_clicked_pixels(model)
    _localise_memory_attention(model.memory_attention)


def _shrink_embeddings(model: Any) -> None:
    prompts, decoder = model.sam_prompt_encoder, model.sam_mask_decoder
    prompts.no_mask_embed.weight.zero_()
    prompts.not_a_point_embed.weight.mul_(0.1)
    for token in (decoder.mask_tokens, decoder.iou_token, decoder.obj_score_token):
        token.weight.mul_(0.3)


def _align_cross_attention(decoder: Any) -> None:
    """Make a token attend where its positional code equals that of the pixel."""
    for name, layer in decoder.transformer.named_modules():
        if name.endswith(("cross_attn_token_to_image", "cross_attn_image_to_token")) or (
            name == "final_attn_token_to_image"
        ):
            weight = nn.init.orthogonal_(torch.empty_like(layer.q_proj.weight)) * POSITION_GAIN
            for projection in (layer.q_proj, layer.k_proj):
                projection.weight.copy_(weight)
                projection.bias.zero_()


def _start_self_attention_as_identity(layer: Any) -> None:
    """Keep tokens apart where there is neither residual nor positional code to do so."""
    nn.init.orthogonal_(layer.q_proj.weight).mul_(IDENTITY_GAIN)
    layer.k_proj.weight.copy_(layer.q_proj.weight)
    for projection in (layer.v_proj, layer.out_proj):
        nn.init.eye_(projection.weight)
    for projection in (layer.q_proj, layer.k_proj, layer.v_proj, layer.out_proj):
        projection.bias.zero_()


def _mark_clicked_pixels(model: Any) -> None:
    """Give pixels that attend to the click's token a direction that says so."""
    click = model.sam_prompt_encoder.point_embeddings[1].weight[0]
    detector: Tensor = click / click.norm() ** 2
    direction = F.normalize(torch.randn(len(click)), dim=0)
    layers = model.sam_mask_decoder.transformer.layers
    for layer, offset in zip(layers, MARK_OFFSETS, strict=True):
        attention = layer.cross_attn_image_to_token
        attention.out_proj.bias.copy_(-offset * direction)
        width = attention.internal_dim // attention.num_heads
        for first in range(0, attention.internal_dim, width):
            attention.v_proj.weight[first] = detector
            attention.v_proj.bias[first] = 0
            attention.out_proj.weight[:, first] = direction


def _localise_memory_attention(attention: Any) -> None:
    """Equal biases under rotary coding make queries prefer memory of the same place."""
    for layer in attention.layers:
        layer.cross_attn_image.q_proj.bias.fill_(ROTARY_BIAS)
        layer.cross_attn_image.k_proj.bias.fill_(ROTARY_BIAS)

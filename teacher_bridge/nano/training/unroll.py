"""Runs the nano SAM 2 over training clips as the video predictor would, with gradients."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from teacher_bridge.nano.training.batches import Batch
from teacher_bridge.nano.training.losses import ClickAffinity, mask_loss

AFFINITY_WEIGHT = 1.0


class ClipLoss(NamedTuple):
    """loss: scalar; first_iou, last_iou: floats, of the first answered and the last frame."""

    loss: Tensor
    first_iou: float
    last_iou: float


class Unroller:
    """Tracks the objects of a batch through its frames and sums the losses.

    The package's `track_step` returns masks after its gate (absent: -1024) and after the choice
    of a mask; the losses need the decoder's raw outputs, so this object listens to them.
    """

    def __init__(self, model: nn.Module, affinity: ClickAffinity) -> None:
        self._model, self._affinity = model, affinity
        self._outputs: tuple[Tensor, ...] = ()
        self._embedding: Tensor | None = None
        decoder: Any = model.sam_mask_decoder
        inner = decoder.predict_masks

        def listen(*args: Any, **kwargs: Any) -> tuple[Tensor, ...]:
            self._outputs = inner(*args, **kwargs)
            return self._outputs

        def keep(module: nn.Module, inputs: Any, output: Tensor) -> None:
            self._embedding = output

        decoder.predict_masks = listen
        decoder.output_upscaling[4].register_forward_hook(keep)

    def __call__(self, batch: Batch, mask_prompt: bool, balance: float) -> ClipLoss:
        """Return the mean loss over frames; prompts with clicks or with frame 0's masks."""
        model = self._model
        length, clips = batch.frames.shape[:2]
        backbone = model.forward_image(batch.frames.flatten(0, 1))
        _, features, positions, sizes = model._prepare_backbone_features(backbone)
        memory: dict[str, dict] = {"cond_frame_outputs": {}, "non_cond_frame_outputs": {}}
        losses, ious = [], []
        for t in range(length):
            chosen = batch.clip_of + t * clips
            first = t == 0
            clicks = _as_points(batch.clicks) if first and not mask_prompt else None
            masks = batch.masks[0][:, None].float() if first and mask_prompt else None
            output = model.track_step(
                frame_idx=t,
                is_init_cond_frame=first,
                current_vision_feats=[f[:, chosen] for f in features],
                current_vision_pos_embeds=[p[:, chosen] for p in positions],
                feat_sizes=sizes,
                point_inputs=clicks,
                mask_inputs=masks,
                output_dict=memory,
                num_frames=1000,
                run_mem_encoder=t < length - 1,
            )
            memory["cond_frame_outputs" if first else "non_cond_frame_outputs"][t] = output
            if masks is not None:
                continue  # the prompt itself is the answer
            logits, iou_scores, _, presence = self._outputs
            result = mask_loss(logits, iou_scores, presence, batch.masks[t], balance)
            losses.append(result.loss)
            ious.append(result.iou)
            if clicks is not None and self._embedding is not None:
                where = batch.clicks / batch.frames.shape[-1]
                affinity = self._affinity(self._embedding, where, batch.masks[0])
                losses.append(AFFINITY_WEIGHT * affinity)
        loss = torch.stack(losses).sum() / length
        return ClipLoss(loss, float(ious[0]), float(ious[-1]))


def _as_points(clicks: Tensor) -> dict[str, Tensor]:
    labels = torch.ones(len(clicks), 1, dtype=torch.int32)
    return {"point_coords": clicks[:, None], "point_labels": labels}

"""SAM 2's video predictor, computing the same in less time and memory.

Changed against `sam2` 1.1.0, with equal results (rounding apart where objects are batched):
- A frame's image features outlive a reset, which otherwise has every frame encoded again.
- Objects that were prompted on the same frame are tracked as a batch, not one after another.
- A prompt returns no masks: `sam2` scales those of all objects to video resolution each time.
- Outputs that no later frame attends to are dropped, so memory does not grow with the clip.
- Holes are filled with OpenCV where the CUDA extension of `sam2` is missing; `sam2` then skips it.
- Frames come from memory, not from a folder.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from sam2.sam2_video_predictor import SAM2VideoPredictor
from sam2.utils.misc import get_connected_components

from teacher_bridge.sam2.frames import EntryFrames

# Of the features kept per video; the oldest are dropped beyond. A frame of SAM 2.1 has 17 MB, so
# these are 60 frames: the pass back finds the last ones and encodes the others a second time.
_FEATURE_BYTES = 1 << 30
_OBJECTS_AT_ONCE = 16  # bounds the memory of a batch
_FILLED = 0.1  # logit of a filled hole, as in `sam2`

State = dict[str, Any]  # the `inference_state` of sam2
Outputs = dict[str, dict[int, dict[str, Any]]]  # its `output_dict`: kind, frame, values


class VideoPredictor(SAM2VideoPredictor):
    """Drop-in `_target_` of a SAM 2 configuration. For inference only."""

    objects_at_once = _OBJECTS_AT_ONCE
    feature_bytes = _FEATURE_BYTES

    def __init__(self, *, fill_hole_area: int = 0, **arguments: Any) -> None:
        """Take the arguments of `SAM2VideoPredictor`."""
        super().__init__(**arguments)
        self.hole_area = fill_hole_area  # the package's own filling is off

    @torch.inference_mode()
    def start(self, frames: EntryFrames) -> State:
        """Return the inference state of a video of in-memory frames.

        The package's `init_state` reads a folder; the keys are its own.
        """
        height, width = frames.size
        by_object = (
            "point_inputs_per_obj",
            "mask_inputs_per_obj",
            "output_dict_per_obj",
            "temp_output_dict_per_obj",
            "frames_tracked_per_obj",
        )
        state: State = {
            "images": frames,
            "num_frames": len(frames),
            "video_height": height,
            "video_width": width,
            "device": self.device,
            "storage_device": self.device,
            "offload_video_to_cpu": True,
            "offload_state_to_cpu": False,
            "cached_features": {},
            "constants": {},
            "obj_ids": [],
            "obj_id_to_idx": OrderedDict(),
            "obj_idx_to_id": OrderedDict(),
            **{name: {} for name in by_object},
        }
        self._get_image_feature(state, frame_idx=0, batch_size=1)
        return state

    @torch.inference_mode()
    def walk(
        self, state: State, start: int, reverse: bool
    ) -> Iterator[tuple[int, list[int], Float[torch.Tensor, "n 1 H W"]]]:
        """Yield (frame, object ids, logits at video resolution) from the prompted frame on.

        Every object must have its only prompt on the frame `start`, as after a reset.
        """
        self.propagate_in_video_preflight(state)
        per_object = [state["output_dict_per_obj"][i] for i in range(len(state["obj_ids"]))]
        if any(set(outputs["cond_frame_outputs"]) != {start} for outputs in per_object):
            raise ValueError(f"an object is prompted on another frame than {start}")
        step = self.objects_at_once
        batches = [join(per_object[i : i + step], start) for i in range(0, len(per_object), step)]
        ids = list(state["obj_ids"])
        masks = [batch["cond_frame_outputs"][start]["pred_masks"] for batch in batches]
        yield start, ids, self._at_video_resolution(state, masks)
        end = -1 if reverse else state["num_frames"]
        for frame in range(start + (-1 if reverse else 1), end, -1 if reverse else 1):
            masks = [self._track(state, batch, frame, reverse) for batch in batches]
            yield frame, ids, self._at_video_resolution(state, masks)

    def _track(self, state: State, batch: Outputs, frame: int, reverse: bool) -> torch.Tensor:
        """Track one batch of objects to the next frame; return low-resolution logits."""
        (prompted,) = batch["cond_frame_outputs"].values()
        output, logits = self._run_single_frame_inference(
            inference_state=state,
            output_dict=batch,
            frame_idx=frame,
            batch_size=len(prompted["pred_masks"]),
            is_init_cond_frame=False,
            point_inputs=None,
            mask_inputs=None,
            reverse=reverse,
            run_mem_encoder=True,
        )
        tracked = batch["non_cond_frame_outputs"]
        tracked[frame] = output
        reach = max(
            self.num_maskmem * self.memory_temporal_stride_for_eval, self.max_obj_ptrs_in_encoder
        )
        for old in [t for t in tracked if abs(t - frame) > reach]:
            del tracked[old]
        return logits

    def _at_video_resolution(self, state: State, masks: list[torch.Tensor]) -> torch.Tensor:
        _, at_video_resolution = self._get_orig_video_res_output(state, torch.cat(masks))
        return at_video_resolution

    def _run_single_frame_inference(
        self, *unnamed: Any, **named: Any
    ) -> tuple[dict[str, Any], torch.Tensor]:
        """Fill the holes of what the package finds on a frame."""
        output, logits = super()._run_single_frame_inference(*unnamed, **named)
        if self.hole_area > 0:
            logits = fill_holes(logits, self.hole_area)
            output["pred_masks"] = logits.to(output["pred_masks"].device)
        return output, logits

    def _consolidate_temp_output_across_obj(
        self, inference_state: State, *unused: Any, **also_unused: Any
    ) -> dict[str, torch.Tensor]:
        """Return no masks: only the return value of a prompt, which nobody reads, shows them."""
        size = (0, 1, inference_state["video_height"], inference_state["video_width"])
        return {"pred_masks_video_res": torch.zeros(size, device=inference_state["device"])}

    def _get_image_feature(self, inference_state: State, frame_idx: int, batch_size: int) -> Any:
        """Look a frame's features up among those of the whole video before encoding it."""
        known: OrderedDict[int, Any] = inference_state.setdefault("features", OrderedDict())
        if frame_idx in known:
            known.move_to_end(frame_idx)
            inference_state["cached_features"] = {frame_idx: known[frame_idx]}
        result = super()._get_image_feature(inference_state, frame_idx, batch_size)
        if frame_idx not in known:
            self._keep(known, frame_idx, inference_state["cached_features"][frame_idx])
        return result

    def _keep(
        self, known: OrderedDict[int, Any], frame: int, value: tuple[torch.Tensor, dict[str, Any]]
    ) -> None:
        image, encoded = value
        levels = list(encoded["backbone_fpn"])
        # The same position codes for every frame, several times larger than the features.
        first = next(iter(known.values()), None)
        codes = encoded["vision_pos_enc"] if first is None else first[1]["vision_pos_enc"]
        # Nothing reads the image once it is encoded, but `sam2` hands it on: keep one pixel.
        pixel = image[..., :1, :1].clone()
        known[frame] = (pixel, {"backbone_fpn": levels, "vision_pos_enc": codes})
        each = sum(level.numel() * level.element_size() for level in levels)
        while len(known) > max(1, self.feature_bytes // each):
            known.popitem(last=False)


def join(per_object: list[Outputs], frame: int) -> Outputs:
    """Join what objects were given on their common prompted frame into one batch."""
    given = [outputs["cond_frame_outputs"][frame] for outputs in per_object]
    batch: dict[str, Any] = {
        key: torch.cat([output[key] for output in given])
        for key in ("maskmem_features", "pred_masks", "obj_ptr", "object_score_logits")
    }
    codes = zip(*(output["maskmem_pos_enc"] for output in given), strict=True)
    batch["maskmem_pos_enc"] = [torch.cat(level) for level in codes]
    return {"cond_frame_outputs": {frame: batch}, "non_cond_frame_outputs": {}}


def fill_holes(logits: Float[torch.Tensor, "n 1 h w"], most: int) -> Float[torch.Tensor, "n 1 h w"]:
    """Return logits without holes: components outside a mask of at most `most` pixels."""
    labels, areas = connected_components(logits <= 0)
    return logits.masked_fill((labels > 0) & (areas <= most), _FILLED)


def connected_components(
    mask: Bool[torch.Tensor, "n 1 h w"],
) -> tuple[Int[torch.Tensor, "n 1 h w"], Int[torch.Tensor, "n 1 h w"]]:
    """Return label and area of each pixel's 8-connected component, 0 outside the mask.

    What the CUDA extension of `sam2` computes, also without it.
    """
    if mask.is_cuda:
        try:
            return get_connected_components(mask)
        except ImportError:
            pass
    labels = np.zeros(mask.shape, np.int32)
    areas = np.zeros(mask.shape, np.int32)
    for i, one in enumerate(mask[:, 0].to("cpu", torch.uint8).numpy()):
        _, labels[i, 0], statistics, _ = cv2.connectedComponentsWithStats(one, connectivity=8)
        areas[i, 0] = np.where(labels[i, 0] > 0, statistics[labels[i, 0], cv2.CC_STAT_AREA], 0)
    return torch.from_numpy(labels).to(mask.device), torch.from_numpy(areas).to(mask.device)

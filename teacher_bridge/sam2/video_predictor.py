"""SAM 2's video predictor, computing the same in less time and memory.

Changed against `sam2` 1.1.0, with equal results (rounding apart where objects are batched):
- A frame's image features outlive a reset, which otherwise has every frame encoded again.
- Objects that were prompted on the same frame are a batch: their prompts, their memories and the
  tracking, each of which the package does one object after another.
- A frame's memory is encoded once a later frame is to attend to it: not that of the last one before
  a reset.
- The first layer of memory attention looks at the image alone before it looks at memories: once for
  all objects of a batch.
- A prompt returns no masks: `sam2` scales those of all objects to video resolution each time.
- Outputs that no later frame attends to are dropped, so memory does not grow with the clip.
- Holes are filled with OpenCV where the CUDA extension of `sam2` is missing; `sam2` then skips it.
- Frames come from memory, not from a folder.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from sam2.modeling.memory_attention import MemoryAttentionLayer
from sam2.sam2_video_predictor import SAM2VideoPredictor

from teacher_bridge.sam2.batch import Batch, Found, Prompt
from teacher_bridge.sam2.frames import EntryFrames
from teacher_bridge.sam2.holes import fill_holes

# Of the features kept per video; the oldest are dropped beyond. A frame of SAM 2.1 has 17 MB, so
# these are 60 frames: the pass back finds the last ones and encodes the others a second time.
_FEATURE_BYTES = 1 << 30
_OBJECTS_AT_ONCE = 16  # bounds the memory of a batch
_NEEDED = ("pred_masks", "obj_ptr", "object_score_logits")  # of what `sam2` finds on a frame

State = dict[str, Any]  # the `inference_state` of sam2, as far as single frames need it


class VideoPredictor(SAM2VideoPredictor):
    """Drop-in `_target_` of a SAM 2 configuration. For inference only."""

    objects_at_once = _OBJECTS_AT_ONCE
    feature_bytes = _FEATURE_BYTES

    def __init__(self, *, fill_hole_area: int = 0, **arguments: Any) -> None:
        """Take the arguments of `SAM2VideoPredictor`."""
        super().__init__(**arguments)
        self.hole_area = fill_hole_area  # the package's own filling is off
        # The package encodes memories one object at a time, so that this never comes to bear.
        self.non_overlap_masks_for_mem_enc = False
        first = self.memory_attention.layers[0]
        if isinstance(first, MemoryAttentionLayer):
            first._forward_sa = partial(_once_for_all, first._forward_sa)

    @torch.inference_mode()
    def start(self, frames: EntryFrames) -> State:
        """Return the inference state of a video of in-memory frames.

        The package's `init_state` reads a folder; the keys are its own.
        """
        height, width = frames.size
        state: State = {
            "images": frames,
            "num_frames": len(frames),
            "video_height": height,
            "video_width": width,
            "device": self.device,
            "storage_device": self.device,
            "cached_features": {},
            "constants": {},
        }
        self._get_image_feature(state, frame_idx=0, batch_size=1)
        return state

    @torch.inference_mode()
    def walk(
        self, state: State, start: int, prompts: Sequence[Prompt], reverse: bool
    ) -> Iterator[tuple[int, Float[torch.Tensor, "n 1 H W"]]]:
        """Yield (frame, logits at video resolution) from the prompted frame on."""
        step = self.objects_at_once
        parts = [prompts[i : i + step] for i in range(0, len(prompts), step)]
        batches = [Batch(start, self._prompt(state, start, part)) for part in parts]
        masks = [batch.prompted[start]["pred_masks"] for batch in batches]
        yield start, self._at_video_resolution(state, masks)
        end = -1 if reverse else state["num_frames"]
        for frame in range(start + (-1 if reverse else 1), end, -1 if reverse else 1):
            for batch in batches:  # all before the next frame is encoded, which may end this one
                self._remember(state, batch)
            masks = [self._track(state, batch, frame, reverse) for batch in batches]
            yield frame, self._at_video_resolution(state, masks)

    def _prompt(self, state: State, frame: int, prompts: Sequence[Prompt]) -> Found:
        """Return what the prompts of a batch say of the frame that they are on."""
        clicked = [i for i, prompt in enumerate(prompts) if prompt.point is not None]
        given = [i for i, prompt in enumerate(prompts) if prompt.point is None]
        found = []
        if clicked:
            points = self._points(state, [prompts[i].point for i in clicked])
            found.append(self._look(state, frame, len(clicked), points=points))
        if given:
            masks = self._masks([prompts[i].mask for i in given])
            found.append(self._look(state, frame, len(given), masks=masks))
        order = torch.tensor(clicked + given, device=self.device).argsort()
        joined = {key: torch.cat([one[key] for one in found])[order] for key in _NEEDED}
        joined["pred_masks"] = self._without_holes(joined["pred_masks"])
        return joined

    def _points(self, state: State, points: list[Any]) -> dict[str, torch.Tensor]:
        """Return clicks as the package has them: in pixels of its square image."""
        size = torch.tensor([state["video_width"], state["video_height"]], device=self.device)
        clicks = torch.tensor(points, dtype=torch.float32, device=self.device)[:, None]
        labels = torch.ones((len(points), 1), dtype=torch.int32, device=self.device)
        return {"point_coords": clicks / size * self.image_size, "point_labels": labels}

    def _masks(self, masks: list[Any]) -> Float[torch.Tensor, "n 1 side side"]:
        """Return masks as the package has them: on its square image, 0 or 1."""
        given = torch.stack(masks)[:, None].to(self.device).float()
        return (_resized(given, self.image_size, antialias=True) >= 0.5).float()

    def _look(
        self,
        state: State,
        frame: int,
        count: int,
        batch: Batch | None = None,
        reverse: bool = False,
        points: dict[str, torch.Tensor] | None = None,
        masks: torch.Tensor | None = None,
    ) -> Found:
        """Return what the package finds of so many objects on a frame: prompted, or tracked."""
        _, _, features, positions, sizes = self._get_image_feature(state, frame, count)
        before = ({}, {}) if batch is None else (batch.prompted, batch.tracked)
        found = self.track_step(
            frame_idx=frame,
            is_init_cond_frame=batch is None,
            current_vision_feats=features,
            current_vision_pos_embeds=positions,
            feat_sizes=sizes,
            point_inputs=points,
            mask_inputs=masks,
            output_dict={"cond_frame_outputs": before[0], "non_cond_frame_outputs": before[1]},
            num_frames=state["num_frames"],
            track_in_reverse=reverse,
            run_mem_encoder=False,
        )
        return {key: found[key] for key in _NEEDED}

    def _track(self, state: State, batch: Batch, frame: int, reverse: bool) -> torch.Tensor:
        """Track one batch of objects to the next frame; return low-resolution logits."""
        found = self._look(state, frame, batch.objects, batch, reverse)
        reach = max(
            self.num_maskmem * self.memory_temporal_stride_for_eval, self.max_obj_ptrs_in_encoder
        )
        batch.add(frame, found, reach)
        return self._without_holes(found["pred_masks"])

    def _remember(self, state: State, batch: Batch) -> None:
        """Encode the memory of the newest frame of a batch."""
        found, prompted = batch.newest()
        # One image for all objects: the package adds it to what it makes of each mask.
        features, codes = self._run_memory_encoder(
            state,
            batch.frame,
            batch_size=1,
            high_res_masks=_resized(found.pop("pred_masks"), self.image_size),
            object_score_logits=found["object_score_logits"],
            is_mask_from_pts=prompted,
        )
        found |= {"maskmem_features": features, "maskmem_pos_enc": codes}

    def _without_holes(self, logits: torch.Tensor) -> torch.Tensor:
        return fill_holes(logits, self.hole_area) if self.hole_area > 0 else logits

    def _at_video_resolution(self, state: State, masks: list[torch.Tensor]) -> torch.Tensor:
        _, at_video_resolution = self._get_orig_video_res_output(state, torch.cat(masks))
        return at_video_resolution

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


def _resized(
    masks: Float[torch.Tensor, "n 1 h w"], side: int, *, antialias: bool = False
) -> Float[torch.Tensor, "n 1 side side"]:
    size = (side, side)
    return torch.nn.functional.interpolate(masks, size, mode="bilinear", antialias=antialias)


def _once_for_all(
    attend: Callable[..., torch.Tensor],
    images: Float[torch.Tensor, "n t c"],
    codes: Float[torch.Tensor, "n t c"],
) -> Float[torch.Tensor, "n t c"]:
    """Attend within an image that is the same for all objects."""
    return attend(images[:1], codes[:1]).expand(len(images), -1, -1)

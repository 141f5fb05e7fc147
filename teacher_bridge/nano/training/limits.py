"""What limits a nano SAM 2 at the click: its grid, its border, its choice of a mask, its training.

    python -m teacher_bridge.nano.training.limits --clips 30
    python -m teacher_bridge.nano.training.limits --clips 30 --first-seed 1000     trained-on clips

On held-out clips and streets, one click in the centre of every object of at least 150 pixels; mean
IoU of the decoder's masks without post-processing, and of what other means would allow.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from teacher_bridge.nano.training.batches import normalise
from teacher_bridge.nano.training.clips import FRAME_SIZE, HELD_OUT_SEED, NO_OBJECT, Clip, click_in
from teacher_bridge.nano.training.clips import make_clip as make_own_clip
from teacher_bridge.nano.training.drive_clips import make_drive_clip
from teacher_bridge.nano.training.losses import intersection_over_union
from teacher_bridge.nano.training.scoring import PROMPTED_AREA

LENGTH = 8  # of the clips; only their first frame is looked at
GRIDS = (48, 64, 96)
BAND = 3  # pixels to both sides of the true border that count as border
SMALL, LARGE = 600, 2400  # pixels
COLUMNS = ("answer", "best of 4", *(f"grid {g}" for g in GRIDS), "off border", "missed", "added")


def main(arguments: list[str] | None = None) -> None:
    """Print a table for clips and one for streets."""
    options = _parse(arguments)
    from teacher_bridge.nano.build import build_nano_predictor

    torch.set_num_threads(options.threads)
    model = build_nano_predictor(options.checkpoint, apply_postprocessing=False)
    for name, make in (("clips", make_own_clip), ("streets", make_drive_clip)):
        seeds = range(options.first_seed, options.first_seed + options.clips)
        parts = [limits_of(model, make(seed, LENGTH)) for seed in seeds]
        _print(name, np.concatenate([part for part in parts if len(part)]))


@torch.inference_mode()
def limits_of(model: Any, clip: Clip) -> np.ndarray:
    """Return a row per object of frame 0: its area, then `COLUMNS`; float [n, 1 + columns].

    Missed and added are shares of the object's area.
    """
    labels, areas = np.unique(clip.labels[0], return_counts=True)
    chosen = labels[(areas >= PROMPTED_AREA) & (labels != NO_OBJECT)]
    if not len(chosen):
        return np.zeros((0, 1 + len(COLUMNS)))
    truth = torch.stack([torch.from_numpy(clip.labels[0] == label) for label in chosen])
    rng = np.random.default_rng(0)  # not drawn from: the centre is one pixel
    clicks = torch.tensor([click_in(mask.numpy(), rng, "centre") for mask in truth]).float()
    logits = _at_full_size(answers(model, normalise(clip.frames[:1]), clicks))
    target = truth[:, None].float()
    answer, area = logits[:, 0] > 0, truth.sum((-2, -1))
    off_border = ~_border(target)[:, 0]
    columns = [
        intersection_over_union(logits[:, 0], target[:, 0]),
        intersection_over_union(logits, target.expand_as(logits)).amax(1),
        *(_through_grid(target, grid) for grid in GRIDS),
        intersection_over_union((answer & off_border).float(), (truth & off_border).float()),
        (truth & ~answer).sum((-2, -1)) / area,
        (answer & ~truth).sum((-2, -1)) / area,
    ]
    return torch.stack([area.float(), *columns], 1).numpy()


def answers(model: Any, frame: Tensor, clicks: Tensor) -> Tensor:
    """Return the decoder's four raw masks for each click: logits [n, 4, 48, 48].

    Args:
        model: a `SAM2Base`.
        frame: float32 [1, 3, S, S], normalised.
        clicks: float32 [n, 2] as (x, y) pixels.
    """
    found: list[Tensor] = []
    decoder = model.sam_mask_decoder

    def listen(*args: Any, **kwargs: Any) -> Any:
        result = type(decoder).predict_masks(decoder, *args, **kwargs)
        found.append(result[0])
        return result

    backbone = model.forward_image(frame)
    _, features, positions, sizes = model._prepare_backbone_features(backbone)
    same = torch.zeros(len(clicks), dtype=torch.long)
    decoder.predict_masks = listen
    try:
        model.track_step(
            frame_idx=0,
            is_init_cond_frame=True,
            current_vision_feats=[f[:, same] for f in features],
            current_vision_pos_embeds=[p[:, same] for p in positions],
            feat_sizes=sizes,
            point_inputs={
                "point_coords": clicks[:, None],
                "point_labels": torch.ones(len(clicks), 1, dtype=torch.int32),
            },
            mask_inputs=None,
            output_dict={"cond_frame_outputs": {}, "non_cond_frame_outputs": {}},
            num_frames=1,
            run_mem_encoder=False,
        )
    finally:
        del decoder.predict_masks
    return found[0]


def _at_full_size(maps: Tensor) -> Tensor:
    return F.interpolate(maps, (FRAME_SIZE, FRAME_SIZE), mode="bilinear", align_corners=False)


def _through_grid(target: Tensor, side: int) -> Tensor:
    """IoU of true masks [n, 1, S, S] with themselves after a coarser grid."""
    shares = F.interpolate(target, (side, side), mode="area")
    return intersection_over_union(_at_full_size(shares)[:, 0] - 0.5, target[:, 0])


def _border(target: Tensor) -> Tensor:
    """Where a true mask [n, 1, S, S] has another value within `BAND` pixels."""
    side = 2 * BAND + 1
    widest = F.max_pool2d(target, side, 1, BAND)
    narrowest = -F.max_pool2d(-target, side, 1, BAND)
    return widest != narrowest


def _print(name: str, rows: np.ndarray) -> None:
    area = rows[:, 0]
    groups = {
        f"below {SMALL} pixels": area < SMALL,
        f"from {LARGE} pixels": area >= LARGE,
        "all": area >= 0,
    }
    print(f"| {name} | objects | {' | '.join(COLUMNS)} |")
    print("|---" * (2 + len(COLUMNS)) + "|")
    for group, chosen in groups.items():
        means = rows[chosen, 1:].mean(0)
        print(f"| {group} | {chosen.sum()} | {' | '.join(f'{m:.3f}' for m in means)} |")


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, help="default: the shipped weights")
    parser.add_argument("--clips", type=int, default=30, help="of each kind (default 30)")
    parser.add_argument("--first-seed", type=int, default=HELD_OUT_SEED)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    if options.clips < 1 or options.threads < 1 or options.first_seed < 0:
        parser.error("--clips and --threads must be positive, --first-seed 0 or more")
    return options


if __name__ == "__main__":
    main()

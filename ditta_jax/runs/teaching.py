"""Stage A, what the teacher is asked after it, and its masks."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ditta_jax.algorithm.targets import MaskSource
from ditta_jax.data.video import Video
from ditta_jax.errors import UserError
from ditta_jax.methods.protocol import IMAGES, MASKLETS, TRACKS, Method, WarmUp
from ditta_jax.runs import requests, stages
from ditta_jax.runs.profiling import traced
from ditta_jax.runs.progress import RunProgress
from ditta_jax.runs.warm_ups import WarmUps
from ditta_jax.runs.work import Work, needs_masks
from ditta_jax.teacher import ground_truth
from ditta_jax.teacher.cache import masks_in_cache, read_masklets, teacher_key
from ditta_jax.teacher.records import Request

Entries = Mapping[str, Path]  # of one video in the teacher's cache, by what methods need of it

# ---------------------------------------------------------------------------- A


def label_once(work: Work, video: Video, warm_ups: WarmUps, progress: RunProgress) -> WarmUp:
    """Stage A of one video, as it is kept or else computed now."""
    if video.name in warm_ups:
        return warm_ups.take(video.name)
    return label(work, video, progress)


def label(work: Work, video: Video, progress: RunProgress) -> WarmUp:
    """Stage A of one video, or what another run of a comparison has of it."""
    steps = work.warm_up_length(video)
    images = any(IMAGES in method.needs for method in work.methods.values())
    parts = _parts_of_labels(work, video, steps, images) if work.shared else {}
    if work.shared and (found := work.shared.take(parts)):
        return found
    title = "A: student on the warm-up frames"
    start = time.perf_counter()
    in_time = work.timeline.student("A", video.name)
    with (
        traced(work, [video.name], "A"),
        in_time,
        progress.stage(title, steps, video.name) as advance,
    ):
        warm_up = stages.label_warm_up(
            work.model,
            video.frames,
            work.settings,
            video.name,
            stop=steps,
            scored=work.first_scored(video) == 0,
            images=images,
            advance=advance,
        )
    warm_up = warm_up._replace(seconds=time.perf_counter() - start)
    return work.shared.keep(parts, warm_up) if work.shared else warm_up


def _parts_of_labels(work: Work, video: Video, steps: int, images: bool) -> dict[str, Any]:
    """All that stage A of a video follows from, and what of it is kept."""
    config = work.config.to_dict()
    return {
        "video": [video.name, steps, work.first_scored(video)],
        "student": work.fingerprint,
        "kept": [
            images,
            work.settings.stochastic_depth > 0,
            "encoder" in work.model.network.params,
        ],
        **{section: config[section] for section in ("data", "input", "precision")},
    }


def requests_of(work: Work, video: Video, warm_up: WarmUp) -> dict[str, Request]:
    """What the teacher is asked of a video, by what methods need of it."""
    teacher, needs, classes = work.config.teacher, needs_masks(work.methods), len(work.classes)
    names = tuple(video.frames.frame_name(t) for t in range(len(video.frames)))
    found = {}
    if MASKLETS in needs:
        thresholds = (teacher.threshold_first, teacher.threshold_later)
        found[MASKLETS] = requests.request_of(
            warm_up, names[: len(warm_up.labels)], classes, thresholds, teacher.max_objects
        )
    if TRACKS in needs:
        found[TRACKS] = requests.request_of_tracks(
            warm_up, names, classes, teacher.threshold_first, teacher.max_objects
        )
    return found


# ---------------------------------------------------------------------------- B


def masks_of(
    work: Work, video: Video, warm_up: WarmUp, entries: Entries | None
) -> dict[str, MaskSource]:
    """The masks of a video that the teacher, or the ground truth in its place, has given.

    Returns:
        them by what methods need of the teacher.

    Raises:
        UserError: there are none, or they are damaged.
    """
    if not needs_masks(work.methods):
        return {}
    if entries is None:
        return {
            need: ground_truth.ground_truth_masklets(video.labels, request)
            for need, request in requests_of(work, video, warm_up).items()
        }
    found: dict[str, MaskSource] = {}
    for need, entry in entries.items():
        masklets = read_masklets(entry, teacher_key(work.teacher))
        if masklets is None:
            raise UserError(f"{entry}: its masklets cannot be used; run the same command again")
        found[need] = masklets
    return found


def digest_in_cache(work: Work, entry: str) -> str | None:
    """Digest of the teacher's masks in an entry, by its name; None where there are none."""
    return masks_in_cache(work.cache, work.teacher, entry)


def seconds_of(masks: Mapping[str, Any], method: Method) -> float | None:
    """Seconds that the teacher took, now or earlier, for the masks that a method needs.

    None where it did not say: the ground truth, and masks that came from elsewhere.
    """
    seconds = [own.provenance.get("seconds") for need, own in masks.items() if need in method.needs]
    return None if None in seconds else sum(seconds, 0.0)


def details_of(masks: Mapping[str, Any]) -> dict[str, Any]:
    """What a record keeps of the teacher's masks."""
    if MASKLETS not in masks:
        return {}
    masklets = masks[MASKLETS]
    return {
        "objects": len(masklets.objects),
        "teacher_seconds": masklets.provenance.get("seconds"),
    }

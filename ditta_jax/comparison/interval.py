"""Paired intervals over videos: how sure a difference between two methods is."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, Int

from ditta_jax.metrics.scores import Scores

_AT_ONCE = 2e7  # numbers of resampled confusion matrices in memory


def paired_interval(
    reference: Sequence[Scores],
    others: Sequence[Sequence[Scores]],
    seed: int,
    resamples: int = 2000,
    confidence: float = 0.95,
) -> dict[str, tuple[float, float] | None]:
    """Percentile bootstrap of `mean over runs of score(others) - score(reference)`.

    Videos are drawn with replacement, the same for both sides, and each score is computed from the
    sums over the videos that were drawn: it is the score of the table, not a mean of videos'.

    Args:
        reference: per video, of the method that is compared with.
        others: per run (seed) of the other method, likewise, the same videos in the same order.
        seed: of the draws, an explicit one.
        resamples: how many are drawn.
        confidence: share of them that lies in the interval.

    Returns:
        per score its lowest and highest value, fractions; None with fewer than two videos, or where
        the score is not defined.

    Source:
        Efron, Tibshirani: "An Introduction to the Bootstrap", 1993, chapter 13.
    """
    names = reference[0].result().keys() if reference else ()
    if len(reference) < 2:
        return dict.fromkeys(names)
    random = np.random.default_rng(seed)
    V = len(reference)
    drawn = random.multinomial(V, np.full(V, 1 / V), size=resamples)
    before = resampled(reference, drawn)
    after = [resampled(own, drawn) for own in others]
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    found: dict[str, tuple[float, float] | None] = {}
    for name in names:
        difference = np.mean([own[name] for own in after], axis=0) - before[name]
        known = difference[~np.isnan(difference)]
        low, high = np.quantile(known, tails) if known.size else (math.nan, math.nan)
        found[name] = (float(low), float(high)) if known.size else None
    return found


def resampled(
    scores: Sequence[Scores], drawn: Int[np.ndarray, "B V"]
) -> dict[str, Float[np.ndarray, "B"]]:
    """Every score of every resample, NaN where it is not defined.

    Args:
        scores: of V videos.
        drawn: how often each video is in each resample.
    """
    C = len(scores[0].confusion)
    confusions = np.stack([own.confusion.ravel() for own in scores]).astype(np.float64)
    parts = [_iou(drawn[rows] @ confusions, C) for rows in _rows(len(drawn), C)]
    found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    consistency = drawn @ np.stack([own.consistency_sum for own in scores])
    windows = drawn @ np.stack([own.window_count for own in scores])
    for place, n in enumerate(scores[0].windows):
        found[f"mVC{n}"] = _divided(consistency[:, place], windows[:, place])
    return found


def _rows(resamples: int, C: int) -> Iterator[slice]:
    step = max(int(_AT_ONCE / C**2), 1)
    return (slice(start, start + step) for start in range(0, resamples, step))


def _iou(confusions: Float[np.ndarray, "B CC"], C: int) -> dict[str, Float[np.ndarray, "B"]]:
    confusions = confusions.reshape(-1, C, C)
    truth, predicted = confusions.sum(2), confusions.sum(1)
    both = np.diagonal(confusions, axis1=1, axis2=2)
    iou = np.where(truth > 0, both / np.maximum(truth + predicted - both, 1), 0.0)
    return {
        "mIoU": _divided(iou.sum(1), (truth > 0).sum(1)),
        "wIoU": _divided((iou * truth).sum(1), truth.sum(1)),
    }


def _divided(total, count):
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)

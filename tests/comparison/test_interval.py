"""Intervals over videos, compared with a loop over resamples that adds up the sums themselves."""

import math

import numpy as np
import pytest

from ditta_jax.comparison import interval
from ditta_jax.comparison.interval import paired_interval
from ditta_jax.metrics.scores import Scores

NAMES = ("mIoU", "wIoU", "mVC8", "mVC16")


def videos(seed, count=5, classes=4, gain=0):
    """Sums of imagined videos: a class is missing in some, and one has no window of 16 frames."""
    random = np.random.default_rng(seed)
    made = []
    for place in range(count):
        confusion = random.integers(0, 50, (classes, classes))
        confusion += np.diag(random.integers(50, 200, classes) + gain)
        confusion[place % classes] *= place % 2
        windows = np.array([9, 3 * (place > 0)])
        made.append(Scores(confusion, (8, 16), random.uniform(0.5, 1, 2) * windows, windows))
    return made


def slow_interval(reference, others, seed, resamples, confidence):
    counts = np.random.default_rng(seed).multinomial(
        len(reference), np.full(len(reference), 1 / len(reference)), size=resamples
    )

    def score(own, drawn):
        total = None
        for one, times in zip(own, drawn, strict=True):
            for _ in range(times):
                total = one if total is None else total + one
        return total.result()

    found = {name: [] for name in NAMES}
    for drawn in counts:
        before = score(reference, drawn)
        after = [score(own, drawn) for own in others]
        for name in NAMES:
            difference = sum(own[name] for own in after) / len(after) - before[name]
            if not math.isnan(difference):
                found[name].append(difference)
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    return {name: tuple(np.quantile(values, tails)) for name, values in found.items()}


@pytest.mark.parametrize("at_once", [2e7, 50])
def test_equals_a_loop_over_resamples(monkeypatch, at_once):
    monkeypatch.setattr(interval, "_AT_ONCE", at_once)
    reference, others = videos(0), [videos(1, gain=20), videos(2, gain=40)]
    found = paired_interval(reference, others, seed=7, resamples=150, confidence=0.9)
    expected = slow_interval(reference, others, 7, 150, 0.9)
    assert found.keys() == expected.keys()
    for name in NAMES:
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=1e-12)
        assert found[name][0] < found[name][1]


def test_pairs_cancel_what_both_sides_share():
    reference = videos(0)
    same = paired_interval(reference, [videos(0)], seed=0, resamples=100)
    assert all(own == (0.0, 0.0) for own in same.values())
    assert paired_interval(reference, [videos(1)], seed=0, resamples=100) == paired_interval(
        reference, [videos(1)], seed=0, resamples=100
    )


def test_no_interval_of_one_video_or_of_an_undefined_score():
    assert set(paired_interval(videos(0, 1), [videos(1, 1)], 0).values()) == {None}
    assert paired_interval([], [[]], 0) == {}
    short = [own._replace(window_count=own.window_count * [1, 0]) for own in videos(0)]
    found = paired_interval(short, [short], seed=0, resamples=100)
    assert found["mVC16"] is None and found["mVC8"] == (0.0, 0.0)

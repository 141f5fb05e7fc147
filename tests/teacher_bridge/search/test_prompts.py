import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ditta_jax.teacher.cache import ClassPeak, Request
from teacher_bridge.sam2.tracker import FrameMasks
from teacher_bridge.search.prompts import choose_clicks, is_covered, search
from tests.teacher_bridge.scenes import (
    CLICK,
    MASK,
    RESET,
    ScriptedTracker,
    central_reliability,
    flat_reliability,
    request_for,
)


def test_search_reproduces_the_reference_prompts_and_forward_calls(golden):
    scene, labels = golden["prompt/scene"], golden["prompt/pred"]
    request = request_for(
        labels,
        golden["prompt/reliability"],
        len(golden["prompt/pixels_per_class"]),
        thresholds=tuple(golden["prompt/thresholds"].tolist()),
        max_objects=int(golden["prompt/max_objects"]),
    )
    tracker = ScriptedTracker(scene)
    clicks, _ = search(tracker, request)
    assert np.array_equal([click[:4] for click in clicks], golden["prompt/clicks"])
    calls = golden["prompt/calls"][: int(golden["prompt/forward_calls"])]
    assert np.array_equal(tracker.calls, calls)


def test_peaks_are_ranked_by_reliability_then_class():
    peaks = [ClassPeak(c, r, 0, 0, 1) for c, r in ((4, 0.5), (3, 0.9), (7, 0.9), (0, 0.2))]
    request = Request("v", ("0", "1"), (1, 4), 8, (tuple(peaks),) * 2, (0.0, 0.5))
    assert [peak.class_id for peak in request.candidates(0)] == [3, 7, 4, 0]
    assert [peak.class_id for peak in request.candidates(1)] == [3, 7, 4]
    first = request._replace(kind="first frame")
    assert first.candidates(0) == request.candidates(0) and first.candidates(1) == ()


@given(st.data())
def test_coverage_equals_five_dilations_by_the_cross(data):
    height, width = data.draw(st.integers(1, 16)), data.draw(st.integers(1, 16))
    seed = data.draw(st.integers(0, 10**6))
    masks = np.random.default_rng(seed).random((2, height, width)) < 0.02
    union = masks.any(axis=0)
    for _ in range(5):
        padded = np.pad(union, 1)
        union = (
            padded[1:-1, 1:-1]
            | padded[:-2, 1:-1]
            | padded[2:, 1:-1]
            | padded[1:-1, :-2]
            | padded[1:-1, 2:]
        )
    found = [[is_covered(masks, y, x) for x in range(width)] for y in range(height)]
    assert np.array_equal(found, union)


def test_first_frame_prompts_every_class_over_the_threshold():
    labels = np.array([[[0, 0, 1, 2]]])
    reliability = np.array([[[0.1, 0.8, 0.79, 0.95]]])
    request = request_for(labels, reliability, 3, thresholds=(0.8, 0.8))
    clicks = choose_clicks(request, 0, None, 0)
    assert [(c.class_id, c.object_id, c.x) for c in clicks] == [(2, 1, 3), (0, 2, 1)]


def test_later_frames_have_their_own_threshold():
    labels = np.zeros((2, 4, 4), np.uint8)
    request = request_for(labels, flat_reliability(labels, 0.7), 1, thresholds=(0.6, 0.75))
    assert len(choose_clicks(request, 0, None, 0)) == 1
    assert choose_clicks(request, 1, None, 0) == []


def test_new_prompt_needs_distance_from_masks_as_they_were_before_the_frame():
    # Classes 1 and 2 peak side by side: the first prompt does not cover the second.
    labels = np.zeros((2, 1, 24), np.uint8)
    labels[1, 0, 12], labels[1, 0, 13] = 1, 2
    reliability = flat_reliability(labels)
    request = request_for(labels, reliability, 3)
    masks = np.zeros((1, 1, 24), bool)
    masks[0, 0, :7] = True  # pixel 6 reaches as far as 11
    clicks = choose_clicks(request, 1, FrameMasks((1,), masks), 1)
    assert [(c.class_id, c.object_id) for c in clicks] == [(1, 2), (2, 3)]
    masks[0, 0, 7] = True
    clicks = choose_clicks(request, 1, FrameMasks((1,), masks), 1)
    assert [(c.class_id, c.object_id) for c in clicks] == [(2, 2)]


@pytest.mark.parametrize("most", [0, 1, 2, 5])
def test_number_of_objects_is_bounded_over_the_video(most):
    labels = np.stack([np.repeat([[0, 1, 2]], 30, 0), np.repeat([[3, 4, 4]], 30, 0)])
    labels = np.repeat(labels, 20, axis=2)
    scene = labels.copy()
    request = request_for(labels, flat_reliability(labels), 5, max_objects=most)
    clicks, frames = search(ScriptedTracker(scene), request)
    assert len(clicks) == most  # there are five classes
    assert len(frames) == 2


def test_prompt_on_a_later_frame_resets_and_gives_tracked_objects_as_masks():
    labels = np.zeros((3, 40, 40), np.uint8)
    labels[1:, 20:, 20:] = 1
    request = request_for(labels, central_reliability(labels), 2)
    tracker = ScriptedTracker(labels[[2, 2, 2]])
    clicks, frames = search(tracker, request)
    (first, second) = request.peaks[0][0], request.peaks[1][1]
    assert tracker.calls == [
        (CLICK, 0, 1, first.y, first.x),
        (RESET, -1, -1, -1, -1),
        (CLICK, 1, 2, second.y, second.x),
        (MASK, 1, 1, -1, -1),
    ]
    assert [[object_id for object_id, _ in frame] for frame in frames] == [[1], [2, 1], [2, 1]]


def test_nothing_over_the_threshold_asks_nothing_of_the_tracker():
    labels = np.zeros((2, 8, 8), np.uint8)
    tracker = ScriptedTracker(labels)
    assert search(tracker, request_for(labels, flat_reliability(labels, 0.5), 1)) == ([], [(), ()])
    assert tracker.calls == []

import numpy as np

from ditta_jax.teacher.cache import class_peaks, whole_video_request
from teacher_bridge.search.tracks import find_masklets, merge
from tests.teacher_bridge.scenes import (
    CLICK,
    MASK,
    RESET,
    ScriptedTracker,
    central_reliability,
    flat_reliability,
    moving_squares,
    request_for,
)


def test_both_passes_reproduce_the_reference_calls_and_tracks(golden):
    scene, pixels = golden["prompt/scene"], golden["prompt/pixels_per_class"]
    frames, height, width = scene.shape
    request = request_for(
        golden["prompt/pred"],
        golden["prompt/reliability"],
        len(pixels),
        thresholds=tuple(golden["prompt/thresholds"].tolist()),
        max_objects=int(golden["prompt/max_objects"]),
    )
    tracker = ScriptedTracker(scene)
    masklets = find_masklets(tracker, request)
    assert np.array_equal(tracker.calls, golden["prompt/calls"])
    assert np.array_equal(masklets.pixels_per_class, pixels)
    expected = np.unpackbits(golden["prompt/masks"], axis=-1)[..., :width].astype(bool)
    present, order = golden["prompt/present"], golden["prompt/order"]
    assert masklets.objects == tuple(range(1, expected.shape[1] + 1))
    for t in range(frames):
        ids, masks = masklets.decode(t)
        assert np.array_equal(np.isin(masklets.objects, ids), present[t])
        assert np.array_equal(order[t][ids - 1], np.arange(len(ids)))
        assert np.array_equal(masks, expected[t][ids - 1])


def scene_with_arrivals():
    """Class 0 everywhere; class 1 is labelled from frame 2 on, class 2 from frame 3 on."""
    scene = np.zeros((5, 40, 60), np.uint8)
    scene[:, 20:, 20:35] = 1
    scene[:, 20:, 45:] = 2
    labels = scene.copy()
    labels[:2][labels[:2] == 1] = 0
    labels[:3][labels[:3] == 2] = 0
    return scene, labels


def test_backward_pass_fills_the_frames_before_each_prompt():
    scene, labels = scene_with_arrivals()
    tracker = ScriptedTracker(scene)
    request = request_for(labels, central_reliability(labels), 3)
    masklets = find_masklets(tracker, request)
    ids = [[object_id for object_id, _ in frame] for frame in masklets.frames]
    assert ids == [[1, 2, 3], [1, 2, 3], [2, 1, 3], [3, 2, 1], [3, 2, 1]]
    for t in range(5):
        for object_id, mask in zip(*masklets.decode(t), strict=True):
            assert np.array_equal(mask, scene[t] == object_id - 1)
    clicks = {p["object_id"]: (p["frame"], p["y"], p["x"]) for p in masklets.provenance["prompts"]}
    assert {object_id: frame for object_id, (frame, _, _) in clicks.items()} == {1: 0, 2: 2, 3: 3}
    backward = tracker.calls[tracker.calls.index((MASK, 3, 1, -1, -1)) + 1 :]
    assert backward == [
        (RESET, -1, -1, -1, -1),
        (CLICK, 3, 3, *clicks[3][1:]),
        (RESET, -1, -1, -1, -1),
        (CLICK, 2, 2, *clicks[2][1:]),
        (MASK, 2, 3, -1, -1),
        (RESET, -1, -1, -1, -1),
        (CLICK, 0, 1, *clicks[1][1:]),
        (MASK, 0, 2, -1, -1),
        (MASK, 0, 3, -1, -1),
    ]


def test_first_prompt_may_come_late():
    scene, labels = scene_with_arrivals()
    reliability = flat_reliability(labels)
    reliability[:3] = 0.1
    masklets = find_masklets(ScriptedTracker(scene), request_for(labels, reliability, 3))
    assert [len(frame) for frame in masklets.frames] == [3] * 5
    assert [prompt["frame"] for prompt in masklets.provenance["prompts"]] == [3, 3, 3]


def test_one_frame():
    _, labels = scene_with_arrivals()
    last = labels[-1:]
    masklets = find_masklets(ScriptedTracker(last), request_for(last, flat_reliability(last), 3))
    ids, masks = masklets.decode(0)
    assert ids.tolist() == [1, 2, 3]
    assert np.array_equal(masks, [last[0] == c for c in range(3)])
    assert masklets.pixels_per_class.tolist() == [40 * 60 - 20 * 30, 20 * 15, 20 * 15]


def test_no_prompt_leaves_empty_masklets_and_still_counts_pixels():
    _, labels = scene_with_arrivals()
    request = request_for(labels, flat_reliability(labels, 0.3), 4)
    masklets = find_masklets(ScriptedTracker(labels), request)
    assert masklets.objects == () and masklets.frames == ((),) * 5
    assert masklets.decode(4)[1].shape == (0, 40, 60)
    assert np.array_equal(masklets.pixels_per_class, np.bincount(labels.ravel(), minlength=4))


def test_every_object_is_on_every_frame_once():
    rng = np.random.default_rng(3)
    for _ in range(20):
        scene = np.kron(rng.integers(0, 5, (4, 3, 4)), np.ones((1, 9, 9), int)).astype(np.uint8)
        reliability = rng.random(scene.shape).astype(np.float32) ** 0.05
        request = request_for(scene, reliability, 5, thresholds=(0.995, 0.999), max_objects=6)
        masklets = find_masklets(ScriptedTracker(scene), request)
        for frame in masklets.frames:
            assert sorted(object_id for object_id, _ in frame) == list(masklets.objects)


def test_merge_lists_the_forward_pass_first():
    assert merge([((2, "a"),), ((1, "b"),)], [((3, "c"),)]) == [((2, "a"), (3, "c")), ((1, "b"),)]


def test_a_whole_video_is_tracked_from_its_first_frame():
    """What appears later is not prompted; nothing is reset or tracked a second time."""
    _, labels = moving_squares(6, (24, 32))
    labels[:, :4, -6:] = 3
    labels[:2][labels[:2] == 3] = 0
    request = whole_video_request(
        "whole",
        tuple(f"frame{t}" for t in range(6)),
        (24, 32),
        4,
        class_peaks(labels[0], central_reliability(labels)[0]),
    )
    tracker = ScriptedTracker(labels)
    masklets = find_masklets(tracker, request)
    prompts = masklets.provenance["prompts"]
    assert {p["class_id"] for p in prompts} == {0, 1, 2} and {p["frame"] for p in prompts} == {0}
    for t in range(6):
        ids, masks = masklets.decode(t)
        for prompt, mask in zip(prompts, masks, strict=True):
            assert np.array_equal(mask, labels[t] == prompt["class_id"])
    assert [call[:2] for call in tracker.calls[:3]] == [(CLICK, 0)] * 3

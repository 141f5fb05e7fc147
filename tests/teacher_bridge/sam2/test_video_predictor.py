import gc
import weakref

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("sam2")

from sam2.utils.misc import fill_holes_in_mask_scores  # noqa: E402

from teacher_bridge.benchmark.cell import EncodedFrames  # noqa: E402
from teacher_bridge.sam2.holes import connected_components, fill_holes  # noqa: E402
from teacher_bridge.sam2.package_tracker import PackageTracker, lay_out_frames  # noqa: E402
from teacher_bridge.sam2.predictor import Sam2Tracker, build_predictor  # noqa: E402
from teacher_bridge.search.tracks import find_masklets  # noqa: E402
from tests.teacher_bridge.scenes import moving_squares  # noqa: E402


def with_short_memory(predictor):
    """A predictor that attends to few enough frames for outputs of six to be dropped."""
    predictor.num_maskmem, predictor.max_obj_ptrs_in_encoder = 3, 2
    return predictor


@pytest.fixture
def short_memory(predictor):
    return with_short_memory(predictor)


@pytest.fixture
def package(nano_weights, monkeypatch):
    """The package's own predictor; it fills holes too, but asks the CUDA extension for them."""
    monkeypatch.setattr("sam2.utils.misc.get_connected_components", connected_components)
    target = "sam2.sam2_video_predictor.SAM2VideoPredictor"
    return build_predictor("embedded", str(nano_weights), "cpu", target)


@pytest.fixture
def package_masklets(package, squares_entry, tmp_path):
    """What the plain package finds; its frames have to be lossless, so it reads PNG as JPEG."""
    for t, image in enumerate(moving_squares(6)[0]):
        Image.fromarray(image).save(tmp_path / f"{t}.jpg", "PNG")
    tracker = PackageTracker(with_short_memory(package), tmp_path)
    return find_masklets(tracker, squares_entry.request)


def test_search_finds_what_the_plain_package_finds(short_memory, squares_entry, package_masklets):
    prompts = package_masklets.provenance["prompts"]
    assert {prompt["frame"] for prompt in prompts} >= {0, 3}
    assert any(mask.any() for mask in package_masklets.decode(5)[1])
    short_memory.objects_at_once = 1
    one_by_one = find_masklets(Sam2Tracker(short_memory, squares_entry), squares_entry.request)
    assert one_by_one.provenance["prompts"] == prompts
    assert one_by_one.frames == package_masklets.frames
    # Batched matrix products round differently: a pixel at the threshold may change sides.
    short_memory.objects_at_once = 2
    batched = find_masklets(Sam2Tracker(short_memory, squares_entry), squares_entry.request)
    assert batched.provenance["prompts"] == prompts
    for t in range(6):
        (ids, masks), (expected_ids, expected) = batched.decode(t), package_masklets.decode(t)
        assert np.array_equal(ids, expected_ids)
        assert (masks != expected).mean() < 1e-4


def test_a_video_begins_as_the_package_begins_it(predictor, package, squares_entry, tmp_path):
    lay_out_frames(squares_entry, tmp_path)
    expected = package.init_state(str(tmp_path), offload_video_to_cpu=True)
    ours = Sam2Tracker(predictor, squares_entry)._state
    ours.pop("features")  # ours alone keeps those of all frames
    for key in ours.keys() - {"images", "cached_features"}:
        assert ours[key] == expected[key] and type(ours[key]) is type(expected[key]), key
    assert ours["cached_features"].keys() == expected["cached_features"].keys() == {0}


def test_holes_are_filled_as_the_package_fills_them(monkeypatch):
    monkeypatch.setattr("sam2.utils.misc.get_connected_components", connected_components)
    random = np.random.default_rng(1)
    logits = torch.from_numpy(random.standard_normal((3, 1, 16, 20)).astype(np.float32))
    filled = fill_holes(logits, 3)
    assert torch.equal(filled, fill_holes_in_mask_scores(logits, 3))
    assert not torch.equal(filled, logits)


def test_each_frame_is_encoded_once(predictor, squares_entry):
    encoder = EncodedFrames(predictor)
    find_masklets(Sam2Tracker(predictor, squares_entry), squares_entry.request)
    assert encoder.count == 6


def test_features_are_bounded_and_the_result_is_not_changed_by_that(predictor, squares_entry):
    expected = find_masklets(Sam2Tracker(predictor, squares_entry), squares_entry.request)
    encoder = EncodedFrames(predictor)
    predictor.feature_bytes = 1
    tracker = Sam2Tracker(predictor, squares_entry)
    assert find_masklets(tracker, squares_entry.request).frames == expected.frames
    assert encoder.count > 6
    assert len(tracker._state["features"]) == 1


def test_objects_of_a_frame_are_prompted_and_remembered_together(
    predictor, squares_entry, monkeypatch
):
    given = np.zeros(squares_entry.request.size, bool)
    given[16:56, 8:48] = True
    looks, memories = [], []
    look, remember = predictor.track_step, predictor._encode_new_memory

    def looked(**named):
        looks.append(named["current_vision_feats"][-1].shape[1])
        return look(**named)

    def remembered(**named):
        memories.append(len(named["pred_masks_high_res"]))
        return remember(**named)

    monkeypatch.setattr(predictor, "track_step", looked)
    monkeypatch.setattr(predictor, "_encode_new_memory", remembered)
    found = {}
    for at_once in (1, 3):
        predictor.objects_at_once = at_once
        tracker = Sam2Tracker(predictor, squares_entry)
        tracker.click(0, 5, 30, 30)
        tracker.mask(0, 3, given)
        tracker.click(0, 4, 60, 90)
        found[at_once] = [tracker.propagate(t) for t in range(3)]
    # Three frames: prompted, tracked, tracked; nothing attends to the last one yet.
    assert looks == [1] * 3 + [1] * 3 + [1] * 3 + [2, 1] + [3] + [3]
    assert memories == [1] * 6 + [3, 3]
    for one_by_one, together in zip(found[1], found[3], strict=True):
        assert one_by_one.ids == together.ids == (5, 3, 4)
        assert (one_by_one.masks != together.masks).mean() < 1e-4
        assert one_by_one.masks.any(axis=(1, 2)).all()


def test_outputs_that_nothing_attends_to_are_dropped(short_memory, squares_entry, monkeypatch):
    kept, track = [], short_memory._track

    def track_and_look(state, batch, frame, reverse):
        logits = track(state, batch, frame, reverse)
        kept.append(sorted(batch.tracked))
        return logits

    monkeypatch.setattr(short_memory, "_track", track_and_look)
    tracker = Sam2Tracker(short_memory, squares_entry)
    peak = squares_entry.request.peaks[0][0]
    tracker.click(0, 1, peak.y, peak.x)
    for t in range(6):
        tracker.propagate(t)
    assert kept == [[1], [1, 2], [1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5]]


def test_bfloat16_finds_nearly_the_same(predictor, squares_entry):
    request = squares_entry.request
    exact = find_masklets(Sam2Tracker(predictor, squares_entry), request)
    mixed = find_masklets(Sam2Tracker(predictor, squares_entry, "bfloat16"), request)
    assert mixed.objects == exact.objects
    difference = [(mixed.decode(t)[1] != exact.decode(t)[1]).mean() for t in range(6)]
    assert 0 < max(difference) < 0.05


def test_a_higher_threshold_keeps_fewer_pixels(predictor, squares_entry):
    pixels = []
    for threshold in (-1e6, 0.0, 1e6):
        tracker = Sam2Tracker(predictor, squares_entry, mask_threshold=threshold)
        tracker.click(0, 1, 5, 5)
        pixels.append(int(tracker.propagate(0).masks.sum()))
    height, width = squares_entry.request.size
    assert pixels[0] == height * width and pixels[2] == 0
    assert pixels[0] >= pixels[1] >= pixels[2]


def test_frames_have_to_be_visited_in_order(predictor, squares_entry):
    tracker = Sam2Tracker(predictor, squares_entry)
    tracker.click(0, 1, 5, 5)
    tracker.propagate(0)
    with pytest.raises(ValueError, match="frame 2 asked for, 1 is next"):
        tracker.propagate(2)


def test_objects_of_different_frames_cannot_be_tracked_together(predictor, squares_entry):
    tracker = Sam2Tracker(predictor, squares_entry)
    tracker.click(0, 1, 5, 5)
    tracker.click(1, 2, 5, 5)
    with pytest.raises(ValueError, match="prompted on another frame"):
        tracker.propagate(0)


def test_components_are_those_of_a_flood_fill():
    mask = torch.from_numpy(np.random.default_rng(0).random((2, 1, 12, 13)) < 0.4)
    labels, areas = connected_components(mask)
    assert labels.shape == areas.shape == mask.shape
    for one, label, area in zip(mask[:, 0], labels[:, 0], areas[:, 0], strict=True):
        assert torch.equal(label > 0, one)
        for y, x in one.nonzero().tolist():
            region, todo = set(), [(y, x)]
            while todo:
                cell = todo.pop()
                inside = 0 <= cell[0] < 12 and 0 <= cell[1] < 13 and bool(one[cell])
                if inside and cell not in region:
                    region.add(cell)
                    todo += [(cell[0] + i, cell[1] + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
            assert area[y, x] == len(region)
            assert {int(label[cell]) for cell in region} == {int(label[y, x])}
            assert int((label == label[y, x]).sum()) == len(region)


def test_a_tracker_is_freed_with_its_last_reference(predictor, squares_entry):
    tracker = Sam2Tracker(predictor, squares_entry)
    find_masklets(tracker, squares_entry.request)
    features = weakref.ref(tracker._state["features"])
    gc.disable()
    try:
        del tracker
        assert features() is None  # gigabytes on a GPU must not wait for the garbage collector
    finally:
        gc.enable()

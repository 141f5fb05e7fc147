import io
import json
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from ditta_jax.metrics.scores import Scores, VideoScores, no_scores


def scores_of(predictions, labels, num_classes, windows):
    video = VideoScores(num_classes, windows)
    for prediction, label in zip(predictions, labels, strict=True):
        video.update(prediction, label)
    return video.finish()


def direct_result(videos, num_classes, windows):
    """Every score from its definition: sets of pixels, and windows compared frame by frame."""
    truth = np.concatenate([label.ravel() for _, labels in videos for label in labels])
    predicted = np.concatenate([p.ravel() for predictions, _ in videos for p in predictions])
    predicted, truth = predicted[truth != 255], truth[truth != 255]
    iou, weight = [], []
    for c in range(num_classes):
        if (truth == c).any():
            iou.append(
                ((truth == c) & (predicted == c)).sum() / ((truth == c) | (predicted == c)).sum()
            )
            weight.append((truth == c).mean())
    result = {"mIoU": float(np.mean(iou)) if iou else math.nan}
    result["wIoU"] = float(np.dot(iou, weight)) if iou else math.nan
    for n in windows:
        fractions = []
        for predictions, labels in videos:
            for start in range(len(labels) - n):
                still = np.all(labels[start : start + n] == labels[start], axis=0)
                same = np.all(predictions[start : start + n] == predictions[start], axis=0)
                if still.any():
                    fractions.append(same[still].mean())
        result[f"mVC{n}"] = float(np.mean(fractions)) if fractions else math.nan
    return result


def random_video(random, length, num_classes):
    """Maps that change at few pixels from frame to frame, some of them ignored."""
    maps = []
    for values in (np.arange(num_classes), np.append(np.arange(num_classes), 255)):
        frames = random.choice(values, (1, 3, 4)).repeat(max(length, 1), axis=0)[:length]
        for t in range(1, length):
            change = random.random((3, 4)) < 0.2
            frames[t] = np.where(change, random.choice(values, (3, 4)), frames[t - 1])
        maps.append(frames.astype(np.uint8))
    return maps[0], maps[1]


@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(1, 8), min_size=1, max_size=3),
    st.integers(1, 4),
)
@example(0, [1], 1)
@example(1, [3], 2)  # as long as a window: the only possible one is left out
@settings(max_examples=80, deadline=None)
def test_scores_equal_the_direct_definition(seed, lengths, num_classes):
    random = np.random.default_rng(seed)
    windows = (1, 3, 5)
    videos = [random_video(random, length, num_classes) for length in lengths]
    total = no_scores(num_classes, windows)
    for predictions, labels in videos:
        total = total + scores_of(predictions, labels, num_classes, windows)
    expected = direct_result(videos, num_classes, windows)
    result = total.result()
    assert list(result) == list(expected)
    for name, value in expected.items():
        assert result[name] == pytest.approx(value, abs=1e-12, nan_ok=True), name


def test_class_iou_by_hand():
    prediction = np.array([[0, 0, 1, 2]], np.uint8)
    label = np.array([[0, 1, 1, 255]], np.uint8)
    scores = scores_of([prediction], [label], 3, ())
    np.testing.assert_array_equal(scores.class_iou(), [1 / 2, 1 / 2, np.nan])
    # Class 2 is predicted on an ignored pixel only: it is no class of the truth, so not counted.
    assert scores.result() == {"mIoU": 0.5, "wIoU": 0.5}


def test_a_video_without_truth_counts_for_consistency_only():
    predictions = np.zeros((4, 1, 4), np.uint8)
    predictions[1:, 0, 0] = 1
    scores = scores_of(predictions, np.full_like(predictions, 255), 2, (2,))
    assert math.isnan(scores.result()["mIoU"])
    # Two windows of two frames: (0, 1) has one changed pixel of four, (1, 2) none.
    assert scores.result()["mVC2"] == (3 / 4 + 1) / 2


def test_predictions_of_other_classes_are_scored_by_a_table():
    """Classes 0, 1 are class 1 of the truth, class 2 is class 0, class 3 has no counterpart."""
    table = np.array([1, 1, 0, 2], np.uint8)
    video = VideoScores(2, (2,), table)
    prediction, truth = np.array([[0, 1, 2, 3]]), np.array([[1, 1, 0, 0]])
    for frame in (prediction, prediction[:, [1, 0, 2, 3]], prediction):
        video.update(frame.astype(np.uint8), truth.astype(np.uint8))
    scores = video.finish().result()
    # Class 1: both pixels right. Class 0: one of two; what has no counterpart misses it only.
    assert scores["mIoU"] == pytest.approx((1 + 1 / 2) / 2)
    assert scores["mVC2"] == 1  # classes 0 and 1 are one


def test_a_video_with_gaps_in_its_truth_has_no_consistency():
    rng = np.random.default_rng(0)
    predictions = rng.integers(0, 3, (12, 4, 5), dtype=np.uint8)
    labels = [rng.integers(0, 3, (4, 5), dtype=np.uint8) for _ in range(12)]
    full = scores_of(predictions, labels, 3, (2,))
    assert full.window_count[0] > 0
    sparse = scores_of(predictions, [None if t == 7 else labels[t] for t in range(12)], 3, (2,))
    assert sparse.window_count[0] == 0 and math.isnan(sparse.result()["mVC2"])
    labelled = [t for t in range(12) if t != 7]
    expected = scores_of(predictions[labelled], [labels[t] for t in labelled], 3, ())
    assert (sparse.confusion == expected.confusion).all()
    total = (full + sparse).result()
    assert total["mVC2"] == full.result()["mVC2"]


def test_the_caller_may_reuse_its_arrays():
    label = np.zeros((1, 2), np.uint8)
    video, buffer = VideoScores(2, (2,)), np.zeros((1, 2), np.uint8)
    for t in range(4):
        buffer[:] = t % 2
        video.update(buffer, label)
    assert video.finish().result()["mVC2"] == 0.0


def test_json_keeps_every_bit():
    random = np.random.default_rng(3)
    scores = scores_of(*random_video(random, 7, 3), 3, (2, 3))
    again = Scores.from_json(json.loads(json.dumps(scores.to_json())))
    assert again.result() == scores.result()
    np.testing.assert_array_equal(again.confusion, scores.confusion)


@pytest.mark.parametrize("where", ["prediction", "label"])
def test_a_class_out_of_range_is_refused(where):
    good, bad = np.zeros((1, 1), np.uint8), np.full((1, 1), 2, np.uint8)
    pair = (bad, good) if where == "prediction" else (good, bad)
    with pytest.raises(ValueError, match=f"{where} 2 where there are 2 classes"):
        VideoScores(2).update(*pair)


def test_other_sizes_and_classes_are_refused():
    with pytest.raises(ValueError, match="prediction is"):
        VideoScores(2).update(np.zeros((1, 2), np.uint8), np.zeros((2, 1), np.uint8))
    with pytest.raises(ValueError, match="do not add up"):
        no_scores(2) + no_scores(3)
    with pytest.raises(ValueError, match="positive lengths"):
        VideoScores(2, (0,))


def reference_scores(golden, predictions):
    meta = json.loads(str(golden["meta"]))
    frames = range(meta["warmup"], meta["warmup"] + len(golden[predictions]))
    raw = [np.array(Image.open(io.BytesIO(golden[f"gt/{t:05d}"].tobytes()))) for t in frames]
    # VSPW: 0 and 255 are ignored, the others are shifted by one.
    labels = [np.where((label == 0) | (label == 255), 255, label - 1) for label in raw]
    labels = np.array(labels, np.uint8)
    scores = scores_of(golden[predictions], labels, meta["num_classes"], meta["vc_windows"])
    return meta, scores.result()


def test_reference_scores_in_double_precision(golden):
    _, result = reference_scores(golden, "eval_pred_f64")
    expected = json.loads(str(golden["result_f64"]))
    assert result == pytest.approx(expected, rel=0, abs=1e-12)


@pytest.mark.parametrize(
    ("predictions", "run"), [("eval_pred", "result"), ("baseline_pred", "baseline")]
)
def test_reference_scores_in_single_precision(golden, predictions, run):
    meta, result = reference_scores(golden, predictions)
    expected = meta[run]
    for name in ("mIoU", "wIoU"):
        assert result[name] == pytest.approx(expected[name], rel=0, abs=1e-12)
    # In this run the reference formed each window's fraction in single precision: half a unit in
    # the last place of a number below 1 is 3e-8.
    for name in ("mVC4", "mVC8"):
        assert result[name] == pytest.approx(expected[name], rel=0, abs=3e-8)

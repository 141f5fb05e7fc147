"""Counts made on the device are those of the host, so scores are the same bits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ditta_jax.metrics import counts
from ditta_jax.metrics.counts import Counting, count_frames, no_runs, truth_of
from ditta_jax.metrics.scores import FrameCounts, VideoScores

SIZE, CHUNK, C, WINDOWS = (6, 7), 8, 3, (2, 3)


@pytest.fixture(autouse=True)
def several_products(monkeypatch):
    """42 pixels are cut into three blocks, the last one filled up."""
    monkeypatch.setattr(counts, "PIXELS", 20)


def maps(values, length, seed):
    """Label maps of few values that change at few pixels from frame to frame."""
    random = np.random.default_rng(seed)
    frames = [random.choice(values, SIZE).astype(np.uint8)]
    for _ in range(length - 1):
        frames.append(np.where(random.random(SIZE) < 0.2, random.choice(values, SIZE), frames[-1]))
    return np.array(frames, np.uint8)


def on_device(predictions, labels, counting):
    """Counts chunk by chunk, the last chunk filled up as stage D does."""
    runs, found = no_runs(SIZE), []
    for start in range(0, len(labels), CHUNK):
        own = predictions[start : start + CHUNK]
        padded = np.pad(own, [(0, CHUNK - len(own)), (0, 0), (0, 0)], mode="edge")
        truth = truth_of(labels[start : start + CHUNK], CHUNK, SIZE, counting.num_classes)
        device = jax.tree.map(jnp.asarray, truth)
        runs, chunk = count_frames(runs, jnp.asarray(padded), device, counting)
        found += [
            FrameCounts(*(np.asarray(x)[t] for x in chunk)) if truth.known[t] else None
            for t in range(len(own))
        ]
        for rest in jax.tree.leaves(chunk):  # what fills a chunk up counts for nothing
            assert not np.asarray(rest)[len(own) :].any()
    return found


@pytest.mark.parametrize("missing", [(), (3, 9, 10)], ids=["dense", "sparse"])
@pytest.mark.parametrize("length", [8, 19])
def test_scores_are_those_of_the_host_bit_for_bit(length, missing):
    predictions = maps(np.arange(C), length, seed=length)
    truth = maps(np.append(np.arange(C), 255), length, seed=1)
    labels = [None if t in missing else label for t, label in enumerate(truth)]
    host, device = VideoScores(C, WINDOWS), VideoScores(C, WINDOWS)
    for prediction, label in zip(predictions, labels, strict=True):
        host.update(prediction, label)
    for own in on_device(predictions, labels, Counting(C, WINDOWS)):
        device.add(own)
    expected, found = host.finish(), device.finish()
    np.testing.assert_array_equal(found.confusion, expected.confusion)
    np.testing.assert_array_equal(found.consistency_sum, expected.consistency_sum)
    np.testing.assert_array_equal(found.window_count, expected.window_count)
    assert found.confusion.sum() > 0
    assert bool(found.window_count.all()) == (not any(t < length for t in missing))


def test_predictions_of_other_classes_are_counted_by_a_table():
    table = np.array([1, 1, 0, 2], np.uint8)
    predictions, labels = maps(np.arange(4), 4, seed=0), list(maps(np.arange(2), 4, seed=1))
    host, device = VideoScores(2, WINDOWS, table), VideoScores(2, WINDOWS, table)
    for prediction, label in zip(predictions, labels, strict=True):
        host.update(prediction, label)
    for own in on_device(predictions, labels, Counting(3, WINDOWS, tuple(table.tolist()))):
        device.add(own)
    assert device.finish().to_json() == host.finish().to_json()


def test_a_class_that_the_truth_cannot_have_is_refused():
    with pytest.raises(ValueError, match="label 3 where there are 3 classes"):
        truth_of([np.full(SIZE, 3, np.uint8)], CHUNK, SIZE, C)


def test_nothing_is_scattered():
    truth = jax.tree.map(jnp.asarray, truth_of([], CHUNK, SIZE, C))
    arguments = no_runs(SIZE), jnp.zeros((CHUNK, *SIZE), jnp.uint8), truth
    assert "scatter" not in count_frames.lower(*arguments, Counting(C, WINDOWS)).as_text()

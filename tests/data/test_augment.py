import itertools

import cv2
import numpy as np
import pytest

from ditta_jax.data import augment
from ditta_jax.data.preprocess import normalise


@pytest.fixture
def source():
    generator = np.random.default_rng(0)
    frames = generator.integers(0, 256, (7, 40, 60, 3), dtype=np.uint8)
    labels = generator.integers(0, 5, (7, 4, 6), dtype=np.uint8).repeat(10, 1).repeat(10, 2)
    return list(zip(frames, labels, strict=True))


def _take(source, count, **settings):
    stream = augment.batches(source, (32, 48), 3, **settings)
    try:
        return list(itertools.islice(stream, count))
    finally:
        stream.close()


def test_shapes_types_and_values(source):
    for images, labels in _take(source, 3, seed=1):
        assert images.shape == (3, 32, 48, 3) and images.dtype == np.float32
        assert labels.shape == (3, 32, 48) and labels.dtype == np.uint8
        assert set(np.unique(labels)) <= {0, 1, 2, 3, 4, 255}


def test_deterministic_and_resumable(source):
    whole, again, resumed = (
        _take(source, 6, seed=5),
        _take(source, 6, seed=5),
        _take(source, 3, seed=5, start_step=3),
    )
    for (a, b), (c, d) in zip(whole, again, strict=True):
        assert a.tobytes() == c.tobytes() and b.tobytes() == d.tobytes()
    for (a, b), (c, d) in zip(whole[3:], resumed, strict=True):
        assert a.tobytes() == c.tobytes() and b.tobytes() == d.tobytes()
    assert whole[0][0].tobytes() != _take(source, 1, seed=6)[0][0].tobytes()


def test_every_picture_once_an_epoch(monkeypatch):
    monkeypatch.setattr(augment, "augment", lambda generator, frame, label, crop: (frame, label))
    source = [(np.full((2, 2, 3), i, np.uint8), np.full((2, 2), i, np.uint8)) for i in range(12)]
    epochs = []
    for epoch in range(2):
        steps = [augment.batch(source, (2, 2), 4, 0, 3 * epoch + i)[1] for i in range(3)]
        epochs.append([int(label[0, 0]) for labels in steps for label in labels])
        assert sorted(epochs[-1]) == list(range(12))
    assert epochs[0] != epochs[1]


def test_geometry_moves_frame_and_label_together():
    """The frame shows its label, so any geometric change must keep the two equal."""
    label = np.random.default_rng(1).integers(0, 4, (5, 8), dtype=np.uint8)
    label = label.repeat(16, 0).repeat(16, 1)
    frame = cv2.merge([label * 50] * 3)
    for seed in range(20):
        generator = np.random.default_rng(seed)
        a, b = augment.random_scale(generator, frame, label)
        a, b = augment.random_crop(generator, a, b, (64, 96))
        a, b = augment.random_flip(generator, a, b)
        inside = b != 255
        same = np.abs(a[..., 0].astype(int) - b.astype(int) * 50) <= 25
        assert same[inside].mean() > 0.9  # but for interpolated edges


def test_scale_covers_its_range():
    frame, label = np.zeros((100, 100, 3), np.uint8), np.zeros((100, 100), np.uint8)
    sizes = [
        augment.random_scale(np.random.default_rng(seed), frame, label)[1].shape[0]
        for seed in range(200)
    ]
    assert 50 <= min(sizes) < 60 and 190 < max(sizes) <= 200


def test_small_pictures_are_filled_with_ignore():
    frame, label = np.full((10, 12, 3), 9, np.uint8), np.ones((10, 12), np.uint8)
    image, mask = augment.random_crop(np.random.default_rng(0), frame, label, (16, 20))
    assert (mask[:10, :12] == 1).all() and (mask == 255).sum() == 16 * 20 - 120
    assert np.abs(normalise(image[10:])).max() < 0.02  # mean grey


def test_crops_avoid_a_single_class():
    label = np.zeros((64, 256), np.uint8)
    label[:, 200:] = 1
    frame = np.zeros((64, 256, 3), np.uint8)
    mixed = [
        len(np.unique(augment.random_crop(np.random.default_rng(s), frame, label, (64, 64))[1]))
        for s in range(60)
    ]
    assert np.mean(np.array(mixed) == 2) > 0.8  # a quarter without the rule


def test_flip_is_a_mirror():
    frame = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    label = np.array([[0, 1], [2, 3]], np.uint8)
    seen = {
        augment.random_flip(np.random.default_rng(s), frame, label)[1].tobytes() for s in range(9)
    }
    assert seen == {label.tobytes(), label[:, ::-1].tobytes()}


def test_photometric_changes_and_keeps_grey_grey():
    grey = np.repeat(np.arange(0, 256, 5, dtype=np.uint8)[None, :, None], 3, -1)
    changed = [augment.photometric(np.random.default_rng(s), grey) for s in range(40)]
    assert all(image.dtype == np.uint8 for image in changed)
    assert all(np.ptp(image.astype(int), axis=-1).max() <= 1 for image in changed)
    assert sum((image != grey).any() for image in changed) > 20
    assert sum((image == grey).all() for image in changed) > 2


def test_empty_source():
    with pytest.raises(ValueError, match="no pictures"):
        augment.batches([], (8, 8), 1, seed=0)

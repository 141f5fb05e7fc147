"""Clips of the demo's streets: objects keep their label over time, crumbs have none."""

import numpy as np
import pytest

from ditta_jax.data.procedural.drive import video
from ditta_jax.data.procedural.drive_tfds import _SEEDS
from teacher_bridge.nano.training.batches import choose_objects
from teacher_bridge.nano.training.clips import LEAST_AREA, NO_OBJECT, Clip
from teacher_bridge.nano.training.drive_clips import DRIVE_SEED, _objects, make_drive_clip


def test_same_seed_same_clip_other_seed_other_clip():
    first, again, other = (make_drive_clip(seed, 2) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.frames, again.frames)
    np.testing.assert_array_equal(first.labels, again.labels)
    assert (first.frames != other.frames).mean() > 0.5


def test_streets_are_not_those_of_the_data_set():
    assert DRIVE_SEED not in _SEEDS.values()


@pytest.mark.parametrize("seed", range(3))
def test_a_label_means_one_thing_of_one_class_at_all_times(seed):
    pictures = list(video((1, seed), 4))
    labels, region_count = _objects(pictures)
    classes, things = (
        np.stack([getattr(p, name) for p in pictures]) for name in ("label", "thing")
    )
    labels = np.stack(labels)
    found = [label for label in np.unique(labels) if label != NO_OBJECT]
    assert 0 < region_count < len(found)  # parts of ground and sky, and things
    for label in found:
        where = labels == label
        assert where[0].sum() >= LEAST_AREA
        assert len(np.unique(classes[where])) == 1
        numbers = np.unique(things[where])
        assert len(numbers) == 1 and (numbers[0] == 0) == (label < region_count)
    # What is left over is what frame 0 hardly shows.
    assert (labels[0] == NO_OBJECT).mean() < 0.1


def test_clips_are_square_frames_with_labels():
    clip = make_drive_clip(0, 3)
    assert clip.frames.shape == (3, 192, 192, 3) and clip.frames.dtype == np.uint8
    assert clip.labels.shape == (3, 192, 192) and clip.labels.dtype == np.uint8


def test_what_is_no_object_is_never_clicked_on():
    labels = np.full((1, 20, 20), NO_OBJECT, np.uint8)
    labels[0, :10, :10] = 4
    clip = Clip(np.zeros((1, 20, 20, 3), np.uint8), labels, 1)
    assert choose_objects(clip, 3, np.random.default_rng(0)).tolist() == [4]

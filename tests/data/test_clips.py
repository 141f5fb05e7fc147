"""Clips of two frames, and that both are changed alike."""

import numpy as np
import pytest

from ditta_jax.configuration import default_config
from ditta_jax.data.augment import batch
from ditta_jax.data.clips import Clips, clips
from ditta_jax.data.video import Video
from ditta_jax.errors import UserError

SIZE = (24, 32)


class Labels(list):
    def labelled(self, index):
        return self[index] is not None


def street(labelled, seed=0):
    random = np.random.default_rng(seed)
    frames = list(random.integers(0, 256, (len(labelled), *SIZE, 3), np.uint8))
    maps = [random.integers(0, 3, SIZE, np.uint8) if has else None for has in labelled]
    return Video("street", SIZE, frames, Labels(maps))


def test_every_labelled_frame_but_a_videos_first_ends_a_clip():
    first, second = street((True, False, True)), street((True, True), seed=1)
    found = Clips([first, second, first._replace(labels=None)])
    assert len(found) == 2
    for clip, (video, t) in zip(found, ((first, 2), (second, 1)), strict=True):
        before, frame, label = clip
        np.testing.assert_array_equal(before, video.frames[t - 1])
        np.testing.assert_array_equal(frame, video.frames[t])
        np.testing.assert_array_equal(label, video.labels[t])


def test_frames_of_a_clip_are_changed_alike():
    before, frame, label = Clips([street((True, True))])[0]
    still = [(frame, frame, label)]
    images, labels = batch(still, (16, 16), 4, seed=3, step=2)
    assert images.shape == (4, 2, 16, 16, 3)
    np.testing.assert_array_equal(images[:, 0], images[:, 1])
    alone, same = batch([(frame, label)], (16, 16), 4, seed=3, step=2)
    np.testing.assert_array_equal(images[:, 1], alone)
    np.testing.assert_array_equal(labels, same)
    moving, _ = batch([(before, frame, label)], (16, 16), 4, seed=3, step=2)
    np.testing.assert_array_equal(moving[:, 1], alone)
    assert (moving[:, 0] != alone).any()


def test_pictures_without_labels_are_no_clips(tmp_path):
    import cv2

    for t in range(2):
        cv2.imwrite(str(tmp_path / f"{t}.png"), np.full((*SIZE, 3), t, np.uint8))
    config = default_config()
    config.data.update(kind="folder", path=str(tmp_path))
    with pytest.raises(UserError, match="data: no clips to train on"):
        clips(config.data, "")

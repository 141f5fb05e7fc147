"""Zero-shot refinement against the obvious: each pixel asks who is on it and what they are."""

import numpy as np
import pytest

from ditta_jax.methods import frozen, zero_shot
from ditta_jax.methods.protocol import TRACKS
from ditta_jax.teacher.tracks import Tracks
from tests.methods.tiny import FRAMES, FREEZE, SIZE, run

LATER = 2  # frames after the warm-up, which have tracks and no vote


def boxes(*corners):
    mask = np.zeros(SIZE, bool)
    for top, left, bottom, right in corners:
        mask[top:bottom, left:right] = True
    return mask


@pytest.fixture
def tracks():
    """Three objects that drift: two overlap, the third comes after the warm-up only."""
    masks = np.zeros((FRAMES + LATER, 3, *SIZE), bool)
    for t in range(FRAMES + LATER):
        masks[t, 0] = boxes((2, 3 + t, 14, 20 + t))
        masks[t, 1] = boxes((8, 12 + t, 20, 30 + t))
        if t >= FRAMES:
            masks[t, 2] = boxes((0, 0, 5, 5))
    return Tracks.from_masks(masks)


def votes(tracks, warm_up, powers=(0.3, 0.8)):
    """Score of each object's best class, and that class; pixel by pixel, in float64."""
    total = np.bincount(warm_up.labels.ravel(), minlength=3) / warm_up.labels.size
    found = {}
    for number in tracks.objects:
        sums, counts = np.zeros(3), np.zeros(3)
        for t in range(FRAMES):
            ids, masks = tracks.decode(t)
            for mask in masks[ids == number]:
                for y, x in zip(*np.nonzero(mask), strict=True):
                    counts[warm_up.labels[t, y, x]] += 1
                    sums[warm_up.labels[t, y, x]] += warm_up.reliability[t, y, x]
        if counts.sum():
            share = counts / counts.sum()
            score = sums / np.maximum(counts, 1) * share ** powers[0] * (1 - total) ** powers[1]
            found[number] = score.max(), score.argmax()
    return found


def test_objects_have_the_class_they_voted_for_and_the_student_the_rest(model, warm_up, tracks):
    prepared = zero_shot.METHOD.prepare(model, warm_up._replace(masks={TRACKS: tracks}), FREEZE)
    assert prepared.kept_frozen is None and prepared.details == {"objects": 3}
    assert prepared.state == () and not prepared.losses and prepared.network is None
    first = LATER  # the scan below is over frames LATER … LATER + FRAMES − 1 of the video
    own = np.stack([prepared.frame_inputs(first + t) for t in range(FRAMES)])
    _, labels = run(zero_shot.METHOD, model, warm_up, (), online=False, own=own)
    _, plain = run(frozen.METHOD, model, warm_up, (), online=False)
    voted = votes(tracks, warm_up)
    assert voted.keys() == {1, 2}
    expected = np.array(plain)
    for t in range(FRAMES):
        ids, masks = tracks.decode(first + t)
        for y, x in np.ndindex(SIZE):
            here = [voted[i] for i in ids[masks[:, y, x]] if i in voted]
            if here:
                expected[t, y, x] = max(here)[1]
    np.testing.assert_array_equal(labels, expected)
    assert (expected != np.asarray(plain)).any()


def test_a_video_without_objects_keeps_the_frozen_student(model, warm_up):
    nothing = Tracks.from_masks(np.zeros((FRAMES, 1, *SIZE), bool))
    prepared = zero_shot.METHOD.prepare(model, warm_up._replace(masks={TRACKS: nothing}), FREEZE)
    assert prepared.kept_frozen.startswith("nothing was refined")
    assert (prepared.frame_inputs(0) == 255).all()

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ditta_jax.algorithm import targets


class Masks:
    """Masks held densely: per frame a list of (id, mask)."""

    def __init__(self, frames):
        self.frames = frames
        self.objects = tuple(sorted({i for frame in frames for i, _ in frame}))

    def decode(self, t):
        ids = np.array([i for i, _ in self.frames[t]], np.int64)
        masks = [mask for _, mask in self.frames[t]]
        return ids, np.array(masks, bool)


def slow_vote(masks, labels, reliability, num_classes, area_power, frequency_power):
    """Eq. 4 pixel by pixel."""
    counts = np.bincount(labels.ravel(), minlength=num_classes)
    score = np.zeros((max(masks.objects, default=0), num_classes))
    for o in masks.objects:
        found = [[] for _ in range(num_classes)]
        for t, frame in enumerate(masks.frames):
            for i, mask in frame:
                for y, x in zip(*np.nonzero(mask), strict=True):
                    if i == o:
                        found[labels[t, y, x]].append(float(reliability[t, y, x]))
        total = sum(map(len, found))
        for c in range(num_classes):
            if found[c]:
                share = len(found[c]) / total
                rare = 1 - counts[c] / counts.sum()
                mean = sum(found[c]) / len(found[c])
                score[o - 1, c] = mean * share**area_power * rare**frequency_power
    return score


def slow_ids(frame, object_score, shape):
    """The winner of each pixel by looking at every object there."""
    ids = np.zeros(shape, int)
    for y, x in np.ndindex(*shape):
        here = [(object_score[i - 1], place, i) for place, (i, m) in enumerate(frame) if m[y, x]]
        ids[y, x] = max(here)[2] if here else 0
    return ids


@st.composite
def videos(draw):
    seed, frames, objects, classes = draw(
        st.tuples(
            st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(0, 5), st.integers(1, 4)
        )
    )
    random = np.random.default_rng(seed)
    shape = (4, 5)
    listed = []
    for _ in range(frames):
        order = random.permutation(objects) + 1
        kept = order[random.random(objects) < 0.8]
        listed.append([(int(i), random.random(shape) < random.random()) for i in kept])
    labels = random.integers(0, classes, (frames, *shape)).astype(np.uint8)
    # Few distinct reliabilities, zero among them: equal scores and all-zero rows do happen.
    reliability = (random.integers(0, 3, labels.shape) / 2).astype(np.float32)
    return Masks(listed), labels, reliability, classes


@given(videos(), st.sampled_from([(0.3, 0.8), (0.0, 0.0), (1.0, 2.0)]))
@settings(max_examples=60, deadline=None)
def test_vote_and_targets_equal_a_pixel_by_pixel_search(video, powers):
    masks, labels, reliability, classes = video
    counts = np.bincount(labels.ravel(), minlength=classes)
    vote = targets.vote(masks, labels, reliability, classes, counts, *powers)
    np.testing.assert_allclose(
        vote.score, slow_vote(masks, labels, reliability, classes, *powers), rtol=1e-12, atol=0
    )
    for t, frame in enumerate(masks.frames):
        target = targets.target(masks.decode(t), vote, labels[t])
        if not frame:
            assert target is None
            continue
        ids = slow_ids(frame, vote.object_score, labels[t].shape)
        np.testing.assert_array_equal(target.object_ids, ids)
        for y, x in np.ndindex(*ids.shape):
            o = ids[y, x]
            has_class = o > 0 and vote.score[o - 1].any()
            expected = int(np.argmax(vote.score[o - 1])) if has_class else labels[t, y, x]
            assert target.label[y, x] == expected


def test_an_ignored_object_keeps_its_pixels_but_not_the_label():
    mask = np.array([[True, False]])
    labels = np.array([[[1, 0]]], np.uint8)
    vote = targets.vote(Masks([[(1, mask)]]), labels, np.zeros((1, 1, 2)), 2, np.array([1, 1]))
    target = targets.target((np.array([1]), mask[None]), vote, labels[0])
    assert vote.object_class.tolist() == [255]
    assert target.object_ids.tolist() == [[1, 0]]
    assert target.label.tolist() == [[1, 0]]


def test_more_than_255_objects_keep_their_ids():
    masks = np.eye(300, dtype=bool)[:, None, :]
    ids = np.arange(1, 301)
    vote = targets.vote_from_scores(np.full((300, 2), 0.5))
    target = targets.target((ids, masks), vote, np.zeros((1, 300), np.uint8))
    np.testing.assert_array_equal(target.object_ids[0], ids)


def test_a_label_beyond_the_classes_is_refused():
    labels = np.array([[[3]]], np.uint8)
    with pytest.raises(ValueError, match="label 3 where there are 2 classes"):
        targets.vote(Masks([[]]), labels, np.ones((1, 1, 1)), 2, np.array([1, 0]))


def test_reference_vote(golden):
    frames, objects, height, width = golden["vote/shape"]
    bits = np.unpackbits(golden["vote/masks"], axis=-1)[..., :width].astype(bool)
    present = golden["vote/present"]
    masks = Masks(
        [[(o + 1, bits[t, o]) for o in range(objects) if present[t, o]] for t in range(frames)]
    )
    labels = golden["iss_pred"][:frames, :height, :width]
    reliability = golden["iss_reliability"][:frames, :height, :width]
    counts = golden["vote/pixels_per_class"]
    np.testing.assert_array_equal(counts, np.bincount(labels.ravel(), minlength=len(counts)))
    powers = golden["vote/lambda_area_freq"]
    vote = targets.vote(masks, labels, reliability, len(counts), counts, *powers)
    # Row 0 of the reference stands for "no object".
    np.testing.assert_allclose(vote.score, golden["vote/score"][1:], rtol=0, atol=1e-7)
    for t in range(frames):
        target = targets.target(masks.decode(t), vote, labels[t])
        np.testing.assert_array_equal(target.object_ids, golden["vote/obj_id"][t])
        # The reference stores the objects' labels before the student's fill the rest.
        expected = golden["vote/label"][t]
        expected = np.where(expected == 255, labels[t], expected)
        np.testing.assert_array_equal(target.label, expected)


def test_reference_targets_as_labels(golden):
    score = golden["target_score"]
    assert not score[3].any()  # the clip has an ignored object
    for place, t in enumerate(golden["target_frames"]):
        ids, student = golden["target_obj_id"][place], golden["iss_pred"][t]
        label = targets.labels_from_ids(ids, score[1:], student)
        for o in np.unique(ids):
            inside = ids == o
            if o == 0 or o == 3:
                np.testing.assert_array_equal(label[inside], student[inside])
            else:
                assert np.unique(label[inside]).tolist() == [np.argmax(score[o])]

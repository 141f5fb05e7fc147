import numpy as np
import pytest

from ditta_jax.data.procedural import drive, shift
from ditta_jax.data.procedural.classes import CLASSES, PALETTE, PERSON, SIGN
from ditta_jax.data.procedural.drive import stills, video

SMALL = (96, 160)


@pytest.fixture(scope="module")
def some_stills():
    return [p for seed in range(12) for p in stills((5, seed), 2, SMALL)]


def test_same_seed_gives_the_same_bytes_and_another_seed_does_not():
    first, again, other = (list(video((3, seed), 3, SMALL)) for seed in (7, 7, 8))
    for a, b in zip(first, again, strict=True):
        assert a.frame.tobytes() == b.frame.tobytes()
        assert a.label.tobytes() == b.label.tobytes()
    assert first[0].frame.tobytes() != other[0].frame.tobytes()


def test_stills_do_not_depend_on_what_was_drawn_before():
    alone = [p.frame for p in stills((5, 3), 2, SMALL)]
    list(video((9, 9), 1, SMALL))
    np.testing.assert_array_equal(alone, [p.frame for p in stills((5, 3), 2, SMALL)])


def test_types_and_ranges(some_stills):
    for picture in some_stills:
        assert picture.frame.shape == (*SMALL, 3) and picture.frame.dtype == np.uint8
        assert picture.label.shape == SMALL and picture.label.dtype == np.uint8
        assert picture.label.max() < len(CLASSES)
        assert picture.depth.min() > 0 and np.isfinite(picture.depth).all()


def test_every_class_appears_and_none_fills_the_pictures(some_stills):
    counts = np.bincount(np.concatenate([p.label.ravel() for p in some_stills]), minlength=11)
    shares = counts / counts.sum()
    assert (shares > 0.001).all(), dict(zip(CLASSES, shares, strict=True))
    assert shares.max() < 0.6


def test_classes_and_palette_fit():
    assert len(CLASSES) == len(PALETTE) == len(set(CLASSES)) == len(set(PALETTE)) >= 8


def test_pictures_are_textured_within_a_class(some_stills):
    """Not flat colours: within large regions the grey level varies."""
    spread = []
    for picture in some_stills:
        grey = picture.frame.mean(-1)
        spread += [
            grey[picture.label == c].std() for c in range(11) if (picture.label == c).sum() > 500
        ]
    assert np.median(spread) > 5


def test_standing_people_and_signs_are_not_dots():
    """At full size: the tallest column of the smallest person in view, unless it is covered."""
    heights = []
    for seed in range(10):
        (picture,) = stills((6, seed))
        for name in (PERSON, SIGN):
            columns = (picture.label == name).sum(0)
            if columns.max() > 0 and columns[0] == columns[-1] == 0:
                heights.append(columns.max())
    assert np.median(heights) >= 12


def test_frames_change_smoothly_and_things_move():
    for seed in range(3):
        labels = [p.label for p in video((2, seed), 15, SMALL, severity=0)]
        steps = [np.mean(a != b) for a, b in zip(labels, labels[1:], strict=False)]
        assert np.median(steps) < 0.1 and max(steps) < 0.3  # a cut changes more than half
        assert np.mean(labels[0] != labels[-1]) > 0.01


def test_stills_and_severity_zero_are_unshifted(monkeypatch):
    calls = []
    monkeypatch.setattr(drive, "apply_shift", lambda *a: calls.append(a[2]) or a[0])
    list(stills((1, 1), 1, SMALL))
    assert calls == []
    list(video((1, 1), 1, SMALL, severity=0))
    assert calls == [shift.NEUTRAL]


def test_severity_changes_frames_and_not_labels():
    clear, bad = (next(video((4, 2), 1, SMALL, severity=s)) for s in (0.0, 1.0))
    np.testing.assert_array_equal(clear.label, bad.label)
    assert np.abs(clear.frame.astype(int) - bad.frame).mean() > 5

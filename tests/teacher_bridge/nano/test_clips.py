"""The procedural clips: determinism, labels, silhouettes, clicks."""

import numpy as np
import pytest

pytest.importorskip("skimage")

from teacher_bridge.nano.training.appearance import CHANGED_SHARE, random_appearance
from teacher_bridge.nano.training.batches import ClipPool, vary
from teacher_bridge.nano.training.clips import HELD_OUT_SEED, click_in, make_clip
from teacher_bridge.nano.training.drive_clips import make_drive_clip
from teacher_bridge.nano.training.silhouettes import (
    SHAPES,
    SIDE,
    car,
    person,
    random_figure,
    sign,
    tree,
)
from teacher_bridge.nano.training.textures import PATTERNS, photographs, texture


def test_same_seed_same_clip_other_seed_other_clip():
    first, again, other = make_clip(3, 2), make_clip(3, 2), make_clip(4, 2)
    np.testing.assert_array_equal(first.frames, again.frames)
    np.testing.assert_array_equal(first.labels, again.labels)
    assert (first.frames != other.frames).mean() > 0.5


@pytest.mark.parametrize("seed", range(6))
def test_every_pixel_is_labelled_by_a_region_or_a_figure(seed):
    clip = make_clip(seed, 3)
    assert clip.frames.shape == (3, 192, 192, 3) and clip.frames.dtype == np.uint8
    assert clip.labels.shape == (3, 192, 192) and clip.labels.dtype == np.uint8
    assert clip.region_count >= 1
    assert clip.labels.max() < clip.region_count + 8  # at most eight figures
    assert len(np.unique(clip.labels[0])) >= 2


def test_frames_of_a_clip_move_but_resemble_each_other():
    differences = []
    for seed in range(8):
        clip = make_clip(seed, 4)
        assert (clip.frames[0] != clip.frames[3]).any()
        differences.append((clip.labels[0] != clip.labels[1]).mean())
    assert 0 < np.mean(differences) < 0.15


@pytest.mark.parametrize("maker", [car, person, tree, sign, random_figure])
def test_figures_stay_inside_their_canvas(maker):
    for seed in range(8):
        figure = maker(np.random.default_rng(seed))
        assert figure.colour.shape == (SIDE, SIDE, 3) and figure.colour.dtype == np.float32
        assert figure.silhouette.shape == (SIDE, SIDE) and figure.silhouette.dtype == np.uint8
        assert figure.colour.min() >= 0 and figure.colour.max() <= 255
        solid = figure.silhouette > 127
        assert 0.01 < solid.mean() < 0.95
        rim = np.concatenate([solid[0], solid[-1], solid[:, 0], solid[:, -1]])
        assert not rim.any()


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_cover_their_centre_region(shape):
    mask = shape(np.random.default_rng(1))
    assert mask.shape == (SIDE, SIDE)
    assert (mask[SIDE // 4 : -SIDE // 4, SIDE // 4 : -SIDE // 4] > 127).mean() > 0.15


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_have_the_asked_size(pattern):
    made = pattern(np.random.default_rng(2), 40)
    assert made.shape == (40, 40)
    assert np.isfinite(made).all() and made.std() > 0


def test_texture_has_the_asked_colour_and_contrast():
    rng = np.random.default_rng(0)
    means = [texture(rng, 32, (100.0, 150.0, 50.0), 4.0).mean((0, 1)) for _ in range(60)]
    np.testing.assert_allclose(np.median(means, axis=0), (100, 150, 50), atol=4)


def test_photographs_come_with_scikit_image():
    for image in photographs().values():
        assert image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8


def test_appearance_changes_a_share_of_the_clips_and_keeps_the_range():
    grey = np.full((48, 48, 3), 128, np.float32)
    foggy = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        look = random_appearance(rng)
        foggy += look.fog > 0
        seen = look.apply(grey, 20.0, rng)
        assert seen.dtype == np.uint8 and seen.shape == grey.shape
    assert 0 < foggy < 40 * CHANGED_SHARE


def test_fog_hides_the_horizon_and_thins_out_below():
    look = random_appearance(np.random.default_rng(0))
    look.gain, look.offset, look.gamma = np.ones(3, np.float32), 0.0, 1.0
    look.noise = look.blur = 0.0
    look.motion = None
    look.fog, look.fog_colour, look.fog_reach = 0.5, np.full(3, 200, np.float32), 0.25
    seen = look.apply(np.zeros((100, 4, 3), np.float32), 40.0, np.random.default_rng(0))
    np.testing.assert_array_equal(seen[:41], 100)
    assert seen[65, 0, 0] == int(100 * np.exp(-1))


@pytest.mark.parametrize("where", ["centre", "deep", "anywhere"])
def test_click_falls_inside_the_mask(where):
    rng = np.random.default_rng(0)
    mask = np.zeros((20, 30), bool)
    mask[5:16, 10:21] = True
    for _ in range(20):
        x, y = click_in(mask, rng, where)
        assert mask[y, x]
        if where == "centre":
            assert (x, y) == (15, 10)
        if where == "deep":
            assert abs(x - 15) <= 3 and abs(y - 10) <= 3
        if where == "anywhere":
            assert 11 <= x <= 19 and 6 <= y <= 14


def test_click_takes_a_single_pixel_and_refuses_none():
    mask = np.zeros((8, 8), bool)
    with pytest.raises(ValueError, match="at least one pixel"):
        click_in(mask, np.random.default_rng(0))
    mask[2, 7] = True
    assert click_in(mask, np.random.default_rng(0), "anywhere") == (7, 2)


def test_workers_draw_different_seeds_and_held_out_ones_are_refused():
    pools = [ClipPool(rank, 2, length=1, capacity=2) for rank in range(2)]
    for pool in pools:
        for _ in range(3):
            pool.grow()
    assert [len(pool.clips) for pool in pools] == [2, 2]
    # Worker 1 made seeds 1, 3, 5, streets and other clips in turn; the third took the place of the
    # first.
    np.testing.assert_array_equal(pools[1].clips[0].frames, make_drive_clip(5, 1).frames)
    np.testing.assert_array_equal(pools[1].clips[1].frames, make_clip(3, 1).frames)
    pools[0].skip(HELD_OUT_SEED)
    with pytest.raises(SystemExit, match="used up"):
        pools[0].grow()


def test_batch_clicks_lie_in_the_objects_of_their_clips():
    pool = ClipPool(0, 1, length=3, capacity=4)
    for _ in range(4):
        pool.grow()
    batch = pool.batch(np.random.default_rng(0), clips=3, length=2, objects=4)
    assert batch.frames.shape == (2, 3, 3, 192, 192)
    assert batch.masks.shape[0] == 2 and batch.masks.shape[1] == len(batch.clip_of)
    for mask, (x, y) in zip(batch.masks[0], batch.clicks.int().tolist(), strict=True):
        assert mask[y, x]
    for clip in range(3):  # objects of a clip do not overlap
        assert batch.masks[0][batch.clip_of == clip].sum(0).max() == 1


def test_variation_keeps_every_label_on_its_colour():
    clip = make_clip(11, 4)
    marked = clip._replace(frames=np.repeat(clip.labels[..., None] * 9, 3, axis=3))
    rng = np.random.default_rng(0)
    for _ in range(20):
        changed = vary(marked, 2, rng)
        assert changed.frames.shape == (2, 192, 192, 3)
        # Enlarging blends colours at borders only.
        assert (changed.frames[..., 0] == changed.labels * 9).mean() > 0.8

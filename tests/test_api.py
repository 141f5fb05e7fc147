"""The package from a notebook: functions on arrays, no configuration, no file needed."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import ditta_jax as dj
from ditta_jax.errors import UserError
from ditta_jax.students import checkpoint
from ditta_jax.students.segformer.config import SegFormerConfig
from ditta_jax.students.student import new_student
from ditta_jax.teacher import mask_rle, process
from ditta_jax.teacher.cache import read_entry, teacher_key, write_masklets
from ditta_jax.teacher.records import Masklets

CONFIG = SegFormerConfig(
    3, (4, 4, 8, 8), (1, 1, 1, 1), (1, 1, 1, 1), (8, 4, 2, 1), 1, embed_dim=8, radius=1
)
SETTINGS = dj.Settings(iters=2, scale=(48, 32), lr=1e-2)
SIZE = (30, 44)


@pytest.fixture(scope="module")
def student():
    card = checkpoint.StudentCard(CONFIG, ("a", "b", "c"), ((0, 0, 0),) * 3, {"from": "test"})
    return dj.Student(new_student(CONFIG), card)


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(0).integers(0, 256, (5, *SIZE, 3), np.uint8)


@pytest.fixture(scope="module")
def masks():
    found = np.zeros((2, 2, *SIZE), bool)
    found[:, 0, 4:12, 5:20] = found[1, 1, 10:20, 10:30] = True
    return found


@pytest.fixture(scope="module")
def adapted(student, frames, masks):
    return dj.adapt_student(student, frames[:2], dj.Tracks.from_masks(masks), SETTINGS, "street")


def test_importing_the_package_loads_no_jax():
    code = "import sys, ditta_jax; dir(ditta_jax); assert not {'jax', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'magic'"):
        dj.magic  # noqa: B018
    assert set(dj.__all__) <= set(dir(dj))


def test_from_frames_to_scores(student, frames, adapted, tmp_path):
    steps = [(row["pass"], row["frame"]) for row in adapted.losses]
    assert steps == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert all(np.isfinite(row["total"]) for row in adapted.losses)
    labels = dj.segment(adapted.student, frames[2:], after=frames[1], settings=SETTINGS)
    assert labels.shape == (3, *SIZE) and labels.dtype == np.uint8 and labels.max() < 3
    adapted.save(tmp_path / "kept")
    again = dj.load_student(tmp_path / "kept")
    assert again.classes == ("a", "b", "c")
    assert again.card.source["adapted"] == {"method": "ditta", "video": "street"}
    same = dj.segment(again, frames[2:], after=frames[1], settings=SETTINGS)
    np.testing.assert_array_equal(same, labels)
    scores = dj.score(labels, labels, num_classes=3, windows=(2,))
    assert scores == {"mIoU": 1.0, "wIoU": 1.0, "mVC2": 1.0}


def test_fusion_looks_back_at_the_frame_before(student, frames):
    whole = dj.segment(student, frames, settings=SETTINGS)
    rest = dj.segment(student, frames[1:], after=frames[0], settings=SETTINGS)
    np.testing.assert_array_equal(rest, whole[1:])
    plain = dj.segment(student, frames, settings=SETTINGS, fuse=False)
    np.testing.assert_array_equal(plain[0], whole[0])  # before it there is nothing


def test_adaptation_changes_the_copy_and_not_the_student(student, adapted):
    assert checkpoint.fingerprint(new_student(CONFIG)) == checkpoint.fingerprint(student.module)
    assert checkpoint.fingerprint(adapted.student.module) != checkpoint.fingerprint(student.module)


def test_the_teachers_learning_rate_holds_unless_another_is_set(student, frames, masks):
    def last_loss(lr, own):
        settings = dataclasses.replace(SETTINGS, lr=lr)
        tracks = dj.Tracks.from_masks(masks)._replace(lr=own)
        return dj.adapt_student(student, frames[:2], tracks, settings).losses[-1]["total"]

    assert last_loss(None, 1e-2) == last_loss(1e-2, None) == last_loss(1e-2, 0.5)
    assert last_loss(None, None) == last_loss(1e-3, None) != last_loss(1e-2, None)


@pytest.mark.parametrize("compute", ["float64", "bfloat16"])
def test_an_adapted_student_is_float32_whatever_it_was_computed_in(student, frames, masks, compute):
    import jax
    from flax import nnx

    settings = dj.Settings(iters=1, scale=(48, 32), compute=compute)
    found = dj.adapt_student(student, frames[:2], dj.Tracks.from_masks(masks), settings)
    dtypes = {x.dtype for x in jax.tree.leaves(nnx.state(found.student.module))}
    assert dtypes == {np.dtype("float32")}


def test_the_teacher_is_asked_through_a_folder_of_its_own(student, frames, monkeypatch):
    asked = []

    def imagined(folder, settings, entries):
        asked.append(settings.mask_threshold)
        (entry,) = entries
        request = read_entry(entry).request
        assert request.thresholds == (0.5, 0.6) and len(request.frames) == 2
        rows = ((1, mask_rle.encode(np.ones(SIZE, bool))),)
        pixels = request.pixels_per_class()
        masklets = Masklets(request.size, (1,), (rows, rows), pixels, {"teacher": "imagined"})
        write_masklets(entry, teacher_key(process.teacher_identity(settings)), masklets)

    monkeypatch.setattr(process, "run_teacher", imagined)
    tracks = dj.ask_teacher(student, frames[:2], settings=SETTINGS, thresholds=(0.5, 0.6))
    assert tracks.masks().shape == (2, 1, *SIZE) and tracks.masks().all()
    assert tracks.lr == 1e-4 and asked == [2.0]  # of the embedded teacher's card
    dj.ask_teacher(student, frames[:2], mask_threshold=0.5, thresholds=(0.5, 0.6))
    assert asked == [2.0, 0.5]

    monkeypatch.setattr(process, "run_teacher", lambda *_: {"frames-1": "it is tired"})
    with pytest.raises(UserError, match="the teacher failed: it is tired"):
        dj.ask_teacher(student, frames[:2], settings=SETTINGS)


# ---------------------------------------------------------------------------- tracks


def test_tracks_give_back_the_masks_they_were_made_of(masks):
    np.testing.assert_array_equal(dj.Tracks.from_masks(masks).masks(), masks)


def test_tracks_of_davis(tmp_path):
    ids = np.zeros((2, *SIZE), np.uint8)
    ids[:, 3:9, 4:10], ids[1, 15:20] = 3, 7
    for t, values in enumerate(ids):
        Image.fromarray(values).save(tmp_path / f"{t:05d}.png")
    tracks = dj.Tracks.from_davis(tmp_path)
    assert tracks.objects == (1, 2) and tracks.size == SIZE
    np.testing.assert_array_equal(tracks.masks()[:, 0], ids == 3)
    np.testing.assert_array_equal(tracks.masks()[:, 1], ids == 7)


def test_tracks_of_sav(tmp_path, masks):
    import json

    listed = [
        [{"size": list(SIZE), "counts": mask_rle.encode(mask)} for mask in frame] for frame in masks
    ]
    file = tmp_path / "sav_000001_manual.json"
    file.write_text(json.dumps({"video_id": "sav_000001", "masklet": listed}))
    np.testing.assert_array_equal(dj.Tracks.from_sav(file, 2, SIZE).masks(), masks)


# ---------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        (np.zeros((2, *SIZE, 3)), "frames: must be uint8 .*not float64"),
        (np.zeros((*SIZE, 3), np.uint8), r"not uint8 \[30, 44, 3\]"),
        (np.zeros((0, *SIZE, 3), np.uint8), r"not uint8 \[0, 30"),
        (np.zeros((2, *SIZE, 4), np.uint8), "not uint8"),
        ([1, 2], "not list"),
    ],
)
def test_frames_of_another_kind_are_named(student, frames, words):
    with pytest.raises(UserError, match=words):
        dj.segment(student, frames)


def test_what_does_not_fit_is_named(student, frames, masks):
    tracks = dj.Tracks.from_masks(masks)
    with pytest.raises(UserError, match="masks of 2 frames .* but frames are 3"):
        dj.adapt_student(student, frames[:3], tracks, SETTINGS)
    with pytest.raises(UserError, match="after: must be uint8"):
        dj.segment(student, frames, after=frames)
    with pytest.raises(UserError, match="masks must be bool"):
        dj.Tracks.from_masks(masks.astype(int))
    none = dj.Tracks.from_masks(np.zeros((2, 0, *SIZE), bool))
    with pytest.raises(UserError, match="nothing was learnt"):
        dj.adapt_student(student, frames[:2], none, SETTINGS)
    labels = np.full((2, 3, 4), 3, np.uint8)
    with pytest.raises(UserError, match="labels: class 3 where there are 3 classes"):
        dj.score(labels, labels, num_classes=3)
    with pytest.raises(UserError, match=r"labels are \[2, 3, 4\], truth is \[1, 3, 4\]"):
        dj.score(labels, labels[:1], num_classes=4)


def test_losses_that_are_not_finite_are_told(student, frames, masks):
    # each step takes from a weight 99 times as much as it has: 20 steps leave float32's range
    wild = dj.Settings(iters=12, scale=(48, 32), lr=1.0, weight_decay=100.0)
    with pytest.raises(UserError, match="adapt_student: (the loss is|adapted weights are)"):
        dj.adapt_student(student, frames[:2], dj.Tracks.from_masks(masks), wild)

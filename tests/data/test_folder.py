import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ditta_jax.data.folder import FolderRules, open_folder
from ditta_jax.data.images import encode_jpeg, encode_png
from ditta_jax.data.layouts import Place, find_videos, natural_key
from ditta_jax.data.masks import MaskRules, to_labels
from ditta_jax.errors import UserError


def _picture(value: int, size=(6, 8)) -> np.ndarray:
    return np.full((*size, 3), value, np.uint8)


@pytest.fixture
def labelled(tmp_path):
    """Three labelled frames; frame 10 sorts after frame 2."""
    folder = tmp_path / "clip"
    (folder / "origin").mkdir(parents=True)
    (folder / "mask").mkdir()
    for number in (10, 2, 1):
        (folder / "origin" / f"f{number}.png").write_bytes(encode_png(_picture(number)))
        mask = np.full((6, 8), number % 3, np.uint8)
        (folder / "mask" / f"f{number}.png").write_bytes(encode_png(mask))
    return folder


def test_frames_and_labels_in_natural_order(labelled):
    video = open_folder(labelled)
    assert video.name == "clip" and video.size == (6, 8)
    assert [video.frames.frame_name(i) for i in range(len(video.frames))] == ["f1", "f2", "f10"]
    assert [int(video.frames[i][0, 0, 0]) for i in range(3)] == [1, 2, 10]
    assert [int(video.labels[i][0, 0]) for i in range(len(video.labels))] == [1, 2, 1]
    assert video.frames.file(2) == labelled / "origin" / "f10.png"
    assert video.frames.encoded(2) == (labelled / "origin" / "f10.png").read_bytes()


def test_indices_outside_raise(labelled):
    video = open_folder(labelled)
    for index in (-1, 3):
        with pytest.raises(IndexError):
            video.frames[index]
        with pytest.raises(IndexError):
            video.labels[index]


def test_plain_folder_has_no_labels_and_stops_at_max_frames(tmp_path):
    for number in range(4):
        (tmp_path / f"{number}.JPG").write_bytes(encode_jpeg(_picture(50)))
    (tmp_path / "notes.txt").write_text("not a frame")
    video = open_folder(tmp_path, FolderRules(max_frames=3))
    assert video.labels is None and len(video.frames) == 3


def test_folder_of_videos(labelled, tmp_path):
    (tmp_path / "clip2").mkdir()
    (tmp_path / "clip10").mkdir()
    (tmp_path / "nothing").mkdir()
    for name in ("clip2", "clip10"):
        (tmp_path / name / "0.png").write_bytes(encode_png(_picture(1)))
    assert [place.name for place in find_videos(tmp_path)] == ["clip", "clip2", "clip10"]
    assert find_videos(labelled) == [Place("clip", labelled / "origin", labelled / "mask")]


def test_nothing_there(tmp_path):
    with pytest.raises(UserError, match="no frames here"):
        find_videos(tmp_path)
    (tmp_path / "origin").mkdir()
    with pytest.raises(UserError, match=r"origin: no images here"):
        open_folder(tmp_path)


def test_mask_without_frame(labelled):
    (labelled / "mask" / "f2.png").rename(labelled / "mask" / "f3.png")
    with pytest.raises(UserError, match=r"mask/f3\.png: this mask has no frame"):
        open_folder(labelled)


def test_jpeg_masks_and_doubled_frames(labelled):
    (labelled / "origin" / "f1.jpg").write_bytes(encode_jpeg(_picture(1)))
    with pytest.raises(UserError, match=r"f1\.(jpg|png): the same frame as f1"):
        open_folder(labelled)
    (labelled / "origin" / "f1.jpg").unlink()
    (labelled / "mask" / "f1.png").rename(labelled / "mask" / "f1.jpg")
    (labelled / "mask" / "f1.jpg").write_bytes(encode_jpeg(_picture(1)))
    with pytest.raises(UserError, match=r"f1\.jpg: masks must be PNG"):
        open_folder(labelled).labels[0]


def test_other_sizes_are_named(labelled):
    (labelled / "origin" / "f2.png").write_bytes(encode_png(_picture(2, (6, 9))))
    (labelled / "mask" / "f10.png").write_bytes(encode_png(np.zeros((5, 8), np.uint8)))
    video = open_folder(labelled)
    with pytest.raises(UserError, match=r"f2\.png: a frame of 6x9.*expected 6x8"):
        video.frames[1]
    with pytest.raises(UserError, match=r"mask/f10\.png: a mask of 5x8.*expected 6x8"):
        video.labels[2]
    assert open_folder(labelled, FolderRules(one_size=False)).frames[1].shape == (6, 9, 3)


def test_unknown_class_value_is_named(labelled):
    video = open_folder(labelled, mask_rules=MaskRules(num_classes=2))
    with pytest.raises(UserError, match=r"mask/f2\.png: value 2 is no class \(2 classes"):
        video.labels[1]
    ignored = open_folder(labelled, mask_rules=MaskRules(num_classes=2, ignore=(2,)))
    assert (ignored.labels[1] == 255).all()


def test_unknown_convention(labelled):
    with pytest.raises(UserError, match="unknown convention 'voc'"):
        open_folder(labelled, mask_rules=MaskRules("voc"))


@pytest.mark.parametrize("convention", ["plain", "vspw"])
def test_conventions_value_by_value(convention):
    raw = np.arange(256, dtype=np.uint8).reshape(16, 16)
    seen = to_labels(raw, "m", MaskRules(convention, ignore=(11, 255)))
    for value in range(256):
        if convention == "vspw":
            expected = 255 if value in (0, 252, 255) else value - 1
        else:
            expected = 255 if value in (11, 255) else value
        assert seen.flat[value] == expected


def test_vspw_error_names_the_stored_value():
    with pytest.raises(UserError, match="value 125 is no class"):
        to_labels(np.array([[124, 125, 0]], np.uint8), "m", MaskRules("vspw", num_classes=124))


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=20, unique=True))
def test_numbers_sort_as_numbers(numbers):
    names = [f"frame_{n}.x" for n in numbers]
    assert sorted(names, key=natural_key) == [f"frame_{n}.x" for n in sorted(numbers)]


@given(st.lists(st.text(max_size=6), max_size=10))
def test_any_names_can_be_sorted(names):
    assert sorted(sorted(names, key=natural_key), key=natural_key) == sorted(names, key=natural_key)


def test_camvid_example(shared_dir):
    folder = shared_dir / "data/camvid/clip_0016E5_07959"
    video = open_folder(folder, mask_rules=MaskRules(ignore=(11,), num_classes=11))
    assert video.size == (360, 480) and len(video.frames) == len(video.labels) == 52
    present = set(np.unique(video.labels[0]).tolist())
    assert present <= {*range(11), 255} and len(present) > 5

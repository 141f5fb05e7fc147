"""Downloaded data sets as TFDS data sets; the same videos as where they lie."""

import subprocess
import sys

import numpy as np
import pytest

from ditta_jax.data.images import encode_jpeg
from ditta_jax.data.sources import open_videos
from ditta_jax.data.stills import stills
from ditta_jax.errors import UserError
from tests.data.test_data_sets import _cityscapes, vspw  # noqa: F401
from tests.data.test_layouts import frame, mask, values

AREA = "Frames and videos"


@pytest.fixture
def camvid(tmp_path):
    for split, drives in (("train", ("0001TP",)), ("val", ("0016E5", "Seq05VD"))):
        for drive in drives:
            for number in (30, 60):
                frame(tmp_path / "CamVid" / split / f"{drive}_{number:06d}.png", number)
                mask(tmp_path / "CamVid" / f"{split}annot" / f"{drive}_{number:06d}.png", 11)
    return tmp_path / "CamVid"


def _same(built, in_place):
    assert built.names == in_place.names
    for one, other in zip(built, in_place, strict=True):
        assert one.size == other.size and one.warnings == other.warnings
        assert one.dense == other.dense and len(one.frames) == len(other.frames)
        for index in range(len(one.frames)):
            assert one.frames.frame_name(index) == other.frames.frame_name(index)
            np.testing.assert_array_equal(one.frames[index], other.frames[index])
            assert one.labels.labelled(index) == other.labels.labelled(index)
            if one.labels.labelled(index):
                np.testing.assert_array_equal(one.labels[index], other.labels[index])
            else:
                assert one.labels[index] is None


def test_vspw(vspw, tmp_path, data_config):  # noqa: F811
    data = data_config(
        builder="vspw", split="val", data_dir=str(tmp_path / "tfds"), manual_dir=str(vspw)
    )
    data.fps = 0.0
    in_place = open_videos(data_config(kind="vspw", path=str(vspw), split="val"), 124)
    _same(open_videos(data, 124), in_place)
    data.manual_dir = ""  # what was built is found again
    _same(open_videos(data, 124), in_place)
    assert len(stills(data, "val", num_classes=124)) == 10
    data.max_frames = 3
    assert values(open_videos(data)[1]) == [0, 1, 4]


def test_cityscapes_sequence(tmp_path, data_config):
    root = tmp_path / "cityscapes"
    _cityscapes(root, [("ulm", 3, 19)])
    _cityscapes(root, [("bonn", 0, 119)], kind="labelTrainIds")
    data = data_config(
        builder="cityscapes_sequence",
        split="val",
        data_dir=str(tmp_path / "tfds"),
        manual_dir=str(root),
    )
    in_place = open_videos(data_config(kind="cityscapes", path=str(root), split="val"), 19)
    _same(open_videos(data, 19), in_place)


def test_camvid(camvid, tmp_path, data_config):
    data = data_config(
        builder="camvid", split="val", data_dir=str(tmp_path / "tfds"), manual_dir=str(camvid)
    )
    videos = open_videos(data, 11)
    assert videos.names == ("0016E5", "Seq05VD") and values(videos[0]) == [255, 255]
    (camvid / "valannot" / "0016E5_000030.png").unlink()
    with pytest.raises(UserError, match=r"val/0016E5_000030\.png: it has no mask of this name"):
        open_videos(data)


@pytest.mark.robustness(
    AREA, "a download with damaged files, before it is built", "all of them counted, five by name"
)
def test_damaged_downloads_are_named_before_a_build(vspw, tmp_path, data_config, said):  # noqa: F811
    data = data_config(
        builder="vspw", split="val", data_dir=str(tmp_path / "tfds"), manual_dir=str(vspw)
    )
    broken = vspw / "data" / "0002_b" / "origin"
    for number in (2, 5):
        (broken / f"{number:08d}.jpg").write_bytes(encode_jpeg(np.zeros((6, 8, 3), np.uint8))[:99])
    with pytest.raises(UserError, match=r"2 files cannot be used: .*00000002\.jpg: .*5\.jpg") as e:
        open_videos(data)
    said(str(e.value))
    assert not list((tmp_path / "tfds").rglob("*.array_record*"))


@pytest.mark.robustness(AREA, "a builder without its download", "where it is to be had")
def test_nothing_built_and_nothing_given(tmp_path, data_config, said):
    data = data_config(builder="vspw", split="val", data_dir=str(tmp_path))
    with pytest.raises(UserError, match=r"data\.manual_dir: is empty.*give the folder of") as error:
        open_videos(data)
    said(str(error.value))
    data.split = "video"
    with pytest.raises(UserError, match="vspw has no split 'video'; known: train, val, test"):
        open_videos(data)
    data.split, data.manual_dir = "val", str(tmp_path / "gone")
    with pytest.raises(UserError, match=r"check data\.manual_dir"):
        open_videos(data)


def test_tensorflow_is_not_needed(camvid, tmp_path):
    program = (
        "import sys; from ditta_jax.data.prepared import open_published;"
        f"open_published('camvid', 'train', {str(tmp_path / 'tfds')!r}, {str(camvid)!r});"
        "print('tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "False"

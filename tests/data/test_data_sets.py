"""VSPW and Cityscapes as they are published, in miniature, with their quirks."""

import numpy as np
import pytest

from ditta_jax.data.class_tables import class_map, class_names, class_palette
from ditta_jax.data.images import encode_png
from ditta_jax.data.sources import open_videos
from ditta_jax.data.stills import stills
from ditta_jax.errors import UserError
from tests.data.test_layouts import frame, mask, values

AREA = "Masks and labels"


@pytest.fixture
def vspw(tmp_path):
    """Three videos; numbers with gaps, a mask without frame, a stray value, greys as RGB."""
    root = tmp_path / "VSPW_480p"
    for video in ("1001_a", "0002_b", "30_c"):
        for number in (1, 2, 5, 9, 10):
            name = f"{number:08d}"
            frame(root / "data" / video / "origin" / f"{name}.jpg")
            mask(root / "data" / video / "mask" / f"{name}.png", number)
    masks = root / "data" / "1001_a" / "mask"
    mask(masks / "00000007.png", 3)
    stray = np.full((6, 8), 3, np.uint8)
    stray[0, 0] = 252
    (masks / "00000009.png").write_bytes(encode_png(stray))
    grey = np.repeat(np.full((6, 8, 1), 124, np.uint8), 3, axis=2)
    (masks / "00000010.png").write_bytes(encode_png(grey))
    (root / "train.txt").write_text("30_c\n")
    (root / "val.txt").write_text("1001_a\n0002_b\n")
    (root / "test.txt").write_text("gone\n")
    (root / "label_num_dic_final.json").write_text("{}")
    return root


@pytest.mark.robustness(
    AREA,
    "VSPW's quirks (gaps in numbers, masks without frames, stray 252, masks saved as RGB)",
    "read as what they mean, or said",
)
def test_vspw_in_place(vspw, data_config, said):
    for path in (vspw, vspw.parent):
        data = data_config(kind="vspw", path=str(path), split="val")
        videos = open_videos(data, num_classes=124)
        assert videos.names == ("1001_a", "0002_b")
    first, second = videos
    names = [first.frames.frame_name(i) for i in range(5)]
    assert names == ["00000001", "00000002", "00000005", "00000009", "00000010"]
    assert values(second) == [0, 1, 4, 8, 9] and second.warnings == ()
    assert [int(first.labels[i][-1, -1]) for i in range(5)] == [0, 1, 4, 2, 123]
    assert first.labels[3][0, 0] == 255
    assert said(first.warnings[0]) == "1001_a: 1 masks have no frame, the first 00000007.png"
    assert first.dense and first.labels.faults() == [] and first.frames.faults() == []
    data.split = "train"
    assert open_videos(data).names == ("30_c",)
    assert len(stills(data, "train")) == 5


def test_vspw_with_a_list(vspw, data_config):
    data = data_config(kind="vspw", path=str(vspw), split="test", list="val.txt", max_videos=1)
    assert open_videos(data).names == ("1001_a",)


@pytest.mark.robustness(AREA, "a data set that is not whole", "what is missing, and where")
def test_what_vspw_lacks_is_named(vspw, data_config, said):
    data = data_config(kind="vspw", path=str(vspw), split="test")
    with pytest.raises(UserError, match=r"1 of the 1 videos of test\.txt are not there: gone"):
        open_videos(data)
    data.split = "video"
    with pytest.raises(UserError, match="no split 'video'; known: train, val, test"):
        open_videos(data)
    (vspw / "val.txt").unlink()
    data.split = "val"
    with pytest.raises(UserError, match=r"val\.txt: no such file") as error:
        open_videos(data)
    said(str(error.value))
    data.path = str(vspw / "data")
    with pytest.raises(UserError, match="this is not VSPW: expected data/"):
        open_videos(data)


def test_masks_of_vspw_in_true_colours_are_named(vspw, data_config):
    colours = np.random.default_rng(0).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    file = vspw / "data" / "0002_b" / "mask" / "00000005.png"
    file.write_bytes(encode_png(colours))
    video = open_videos(data_config(kind="vspw", path=str(vspw), split="val"), 124)[1]
    assert len(video.labels.faults()) == 1 and "a mask in colour" in video.labels.faults()[0]


def _cityscapes(root, labelled, split="val", frames=30, before=19, kind="labelIds"):
    """Snippets around labelled frames (city, sequence, number)."""
    for city, sequence, number in labelled:
        for own in range(number - before, number - before + frames):
            name = f"{city}_{sequence:06d}_{own:06d}"
            folder = root / "leftImg8bit_sequence" / split / city
            frame(folder / f"{name}_leftImg8bit.png")
        name = f"{city}_{sequence:06d}_{number:06d}_gtFine"
        truth = root / "gtFine" / split / city
        mask(truth / f"{name}_{kind}.png", 26 if kind == "labelIds" else 13)
        mask(truth / f"{name}_instanceIds.png", 99)
        (truth / f"{name}_polygons.json").write_text("{}")


def test_cityscapes_in_place(tmp_path, data_config):
    """Hamburg's snippets share a sequence and may touch; others have one each."""
    _cityscapes(
        tmp_path, [("ulm", 3, 19), ("ulm", 4, 19), ("hamburg", 0, 119), ("hamburg", 0, 149)]
    )
    data = data_config(kind="cityscapes", path=str(tmp_path), split="val")
    videos = open_videos(data, num_classes=19)
    assert videos.names == (
        *("hamburg_000000_000100", "hamburg_000000_000130"),
        *("ulm_000003_000000", "ulm_000004_000000"),
    )
    for video in videos:
        assert len(video.frames) == 30 and not video.dense
        assert [i for i in range(30) if video.labels.labelled(i)] == [19]
        assert (video.labels[19] == 13).all()  # id 26 is a car
        assert video.frames.faults() == video.labels.faults() == []
    assert len(stills(data, "val")) == 4


def test_train_ids_of_cityscapes_and_unlabelled_snippets(tmp_path, data_config):
    _cityscapes(tmp_path, [("ulm", 3, 19)], kind="labelTrainIds")
    for number in (*range(40), *range(100, 110)):
        name = f"bonn_000000_{number:06d}_leftImg8bit.png"
        frame(tmp_path / "leftImg8bit_sequence" / "val" / "bonn" / name)
    videos = open_videos(data_config(kind="cityscapes", path=str(tmp_path), split="val"), 19)
    assert [len(video.frames) for video in videos] == [30, 10, 10, 30]
    assert videos[0].labels is None and (videos[3].labels[19] == 13).all()
    assert videos[1].warnings == ("bonn_000000_000030: 10 of 30 frames are there",)


@pytest.mark.robustness(AREA, "Cityscapes without its sequences or frames", "what to unpack")
def test_what_cityscapes_lacks_is_named(tmp_path, data_config, said):
    data = data_config(kind="cityscapes", path=str(tmp_path), split="val")
    with pytest.raises(UserError, match=r"unpack leftImg8bit_sequence_trainvaltest\.zip") as error:
        open_videos(data)
    said(str(error.value))
    _cityscapes(tmp_path, [("ulm", 3, 19)])
    for file in (tmp_path / "leftImg8bit_sequence" / "val" / "ulm").glob("*_000019_*"):
        file.unlink()
    with pytest.raises(UserError, match=r"gtFine_labelIds\.png: its frame is not in"):
        open_videos(data)
    data.split = "video"
    with pytest.raises(UserError, match="Cityscapes has no split 'video'"):
        open_videos(data)


# ---------------------------------------------------------------------------- class tables


@pytest.mark.parametrize(
    ("name", "count"), [("vspw", 124), ("cityscapes", 19), ("camvid", 11), ("ade20k", 150)]
)
def test_classes(name, count):
    assert len(set(class_names(name))) == count
    assert len(class_palette(name)) in (0, count)


def test_names_of_vspw_are_those_that_were_given(shared_dir):
    given = (shared_dir / "data" / "vspw_classes.txt").read_text().split()
    assert class_names("vspw") == tuple(given)


@pytest.mark.parametrize("name", ["vspw_to_cityscapes", "ade20k_to_vspw", "cityscapes_to_camvid"])
def test_tables_say_something_of_every_class(name):
    source, _, target = name.partition("_to_")
    found = class_map(name)
    assert found.source == class_names(source) and found.target == class_names(target)
    same = {n.lower().replace("_", " "): i for i, n in enumerate(found.target)}
    for own, to in zip(found.source, found.table, strict=True):
        here = same.get(own.lower().replace("_", " "))
        assert here is None or here == to, own  # equal names mean the same


def test_a_table_of_ones_own(tmp_path, said):
    path = tmp_path / "own.csv"
    path.write_text("from,to,reason\ncar,vehicle,\nbus,vehicle,\nroad,road,\nsky,,not scored\n")
    found = class_map(str(path))
    assert found.target == ("vehicle", "road") and found.table.tolist() == [0, 0, 1, 2]
    path.write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match=r"own\.csv: expected a first line from,to,reason"):
        class_map(str(path))
    with pytest.raises(UserError, match="'vspw_to_cityscapes' is meant?") as error:
        class_map("vspw_to_cityscape")
    said(str(error.value))


def test_a_students_classes_find_their_place_in_a_table():
    found = class_map("vspw_to_cityscapes")
    backwards = tuple(reversed([name.upper().replace("_", " ") for name in found.source]))
    assert found.of_student(backwards).tolist() == found.table[::-1].tolist()
    unnamed = tuple(f"class {number}" for number in range(124))
    assert found.of_student(unnamed).tolist() == found.table.tolist()
    with pytest.raises(UserError, match="123 classes, the table is of 124"):
        found.of_student(unnamed[1:])
    half = (*found.source[:10], *unnamed[10:])
    with pytest.raises(UserError, match="the student's class 'class 10' is not in the table"):
        found.of_student(half)


@pytest.mark.robustness(
    "Masks and labels",
    "a table of classes (data.class_map) that is cut, binary, too large, or of too many classes",
    "refused by name",
)
@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "expected a first line from,to,reason"),
        (b"a,b\n1,2\n", "expected a first line from,to,reason"),
        (b"from,to,reason\n", "expected a first line from,to,reason"),
        (b"\xff\xfe\x00from", "cannot read it as text"),
        (
            b'from,to,reason\n"' + b"x" * 200_000 + b'",b,c\n',
            "field larger than field limit",
        ),
        (b"from,to,reason\n" + b"a,b,c\n" * 200_000, "too large for a table of classes"),
        (b"from,to,reason\na,b,c\na,d,e\n", "the class 'a' is there twice"),
        (b"from,to,reason\na,,c\n", "to 0 classes; expected 1"),
        (
            b"from,to,reason\n" + b"".join(b"%d,%d,\n" % (i, i) for i in range(300)),
            "to 300 classes; expected 1 … 254",
        ),
    ],
)
def test_tables_of_classes_that_are_none(tmp_path, said, data, words):
    path = tmp_path / "own.csv"
    path.write_bytes(data)
    with pytest.raises(UserError) as error:
        class_map(str(path))
    assert words in said(str(error.value))

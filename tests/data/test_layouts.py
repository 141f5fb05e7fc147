"""Folders as people and data sets lay them out, and how they call frames and masks."""

import numpy as np
import pytest
from PIL import Image

from ditta_jax.data.folder import FolderRules, open_folder
from ditta_jax.data.images import encode_jpeg, encode_png
from ditta_jax.data.layouts import find_videos
from ditta_jax.data.pairs import names_with
from ditta_jax.data.sources import open_videos
from ditta_jax.data.stills import stills
from ditta_jax.errors import UserError

AREA = "Frames and videos"
SIZE = (6, 8)


def frame(path, value=50, size=SIZE):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.full((*size, 3), value, np.uint8)
    encode = encode_jpeg if path.suffix.lower() in (".jpg", ".jpeg") else encode_png
    path.write_bytes(encode(image))


def mask(path, value=1, size=SIZE):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(np.full(size, value, np.uint8)))


def values(video):
    """The label of each frame, None where it has none."""
    labels = [video.labels[i] for i in range(len(video.labels))]
    return [None if label is None else int(label[0, 0]) for label in labels]


# ---------------------------------------------------------------------------- layouts


@pytest.mark.robustness(
    AREA,
    "images/ and masks/, labels/ or annotations/; JPEGImages/ and Annotations/; …",
    "one video with its masks",
)
@pytest.mark.parametrize(
    ("frames", "masks"),
    [
        *[("origin", "mask"), ("images", "masks"), ("images", "labels"), ("image", "annotations")],
        *[("JPEGImages", "Annotations"), ("frames", "gt"), ("rgb", "label"), ("Images", "Labels")],
        *[("imgs", "gts"), ("img", "seg"), ("images", "SegmentationClass")],
    ],
)
def test_a_folder_of_frames_and_one_of_masks(tmp_path, frames, masks):
    for number in range(3):
        frame(tmp_path / frames / f"{number}.jpg")
        mask(tmp_path / masks / f"{number}.png", number)
    (place,) = find_videos(tmp_path)
    video = open_folder(place)
    assert video.name == tmp_path.name and values(video) == [0, 1, 2] and video.dense


def test_masks_beside_their_frames(tmp_path):
    for number in range(3):
        frame(tmp_path / f"{number}.jpg")
        mask(tmp_path / "masks" / f"{number}.png", number)
    assert values(open_folder(tmp_path)) == [0, 1, 2]


@pytest.mark.robustness(AREA, "two folders that could both hold the masks", "refused, both named")
def test_two_folders_of_masks(tmp_path, said):
    frame(tmp_path / "images" / "0.jpg")
    for name in ("labels", "masks"):
        mask(tmp_path / name / "0.png")
    with pytest.raises(UserError, match="labels and masks could both be meant") as error:
        find_videos(tmp_path)
    said(str(error.value))


@pytest.mark.robustness(
    AREA,
    "masks in a folder whose name is not known (GT_png/, matte/, …) beside that of their frames",
    "refused: they would be segmented as a second video",
)
@pytest.mark.parametrize("save", ["L", "P", "RGB"])
def test_masks_under_a_name_of_their_own_are_no_video(tmp_path, said, save):
    noise = np.random.default_rng(0).integers(0, 256, (3, 24, 32, 3)).astype(np.uint8)
    for t in range(3):
        for name in ("street", "matte"):
            (tmp_path / name).mkdir(exist_ok=True)
        Image.fromarray(noise[t]).save(tmp_path / "street" / f"{t}.png")
        label = Image.fromarray(np.uint8(np.arange(24 * 32).reshape(24, 32) // 96))
        label.convert(save).save(tmp_path / "matte" / f"{t}.png")
    with pytest.raises(UserError) as error:
        find_videos(tmp_path)
    assert "matte: few colours, and the names of the frames in street" in said(str(error.value))
    for t in range(3):  # a video of its own: of other frames
        (tmp_path / "matte" / f"{t}.png").rename(tmp_path / "matte" / f"frame{t}.png")
    assert [place.name for place in find_videos(tmp_path)] == ["matte", "street"]


def test_a_folder_of_videos_one_of_which_is_called_images(tmp_path):
    for name in ("images", "street"):
        frame(tmp_path / name / "0.jpg")
    assert [place.name for place in find_videos(tmp_path)] == ["images", "street"]


@pytest.mark.robustness(
    AREA, "roots of DAVIS, YouTube-VOS and VSPW", "their videos, with masks where there are"
)
@pytest.mark.parametrize("size", ["480p/", ""])
def test_roots_of_davis_and_youtube_vos(tmp_path, size):
    for name in ("bear", "camel"):
        for number in range(3):
            frame(tmp_path / f"JPEGImages/{size}{name}/{number:05d}.jpg")
            mask(tmp_path / f"Annotations/{size}{name}/{number:05d}.png", number)
    frame(tmp_path / f"JPEGImages/{size}unlabelled/00000.jpg")
    (tmp_path / "ImageSets" / "480p").mkdir(parents=True)
    places = find_videos(tmp_path)
    assert [place.name for place in places] == ["bear", "camel", "unlabelled"]
    assert values(open_folder(places[1])) == [0, 1, 2]
    assert open_folder(places[2]).labels is None


def test_root_of_vspw(tmp_path):
    for name in ("10_a", "2_b"):
        frame(tmp_path / "data" / name / "origin" / "00000001.jpg")
        mask(tmp_path / "data" / name / "mask" / "00000001.png")
    (tmp_path / "val.txt").write_text("2_b\n")
    places = find_videos(tmp_path)
    assert [place.name for place in places] == ["2_b", "10_a"]
    assert values(open_folder(places[0])) == [1]


# ---------------------------------------------------------------------------- pairs


@pytest.mark.robustness(
    AREA,
    "frames and masks whose names differ (_leftImg8bit and _gtFine_labelTrainIds, x and x_mask, "
    "0 and 00000, …)",
    "paired by patterns (data.frame_names, data.mask_names)",
)
@pytest.mark.parametrize(
    ("frames", "masks"),
    [
        ("ulm_0_{}_leftImg8bit.png", "ulm_0_{}_gtFine_labelTrainIds.png"),
        ("x{}.jpg", "x{}_mask.png"),
        ("x{}.jpg", "x{}_label.png"),
        ("0016E5_{}.jpg", "0016E5_{}_L.png"),
        ("image_{}.jpg", "mask_{}.png"),
        ("frame_{}.jpg", "frame_0000{}.png"),
        ("{}.jpg", "0000{}.png"),
        ("IMG_{}.JPG", "img_{}_Mask.png"),
    ],
)
def test_names_that_differ(tmp_path, frames, masks):
    for number in (10, 2, 1):
        frame(tmp_path / "images" / frames.format(number))
        mask(tmp_path / "masks" / masks.format(number), number)
    assert values(open_folder(tmp_path)) == [1, 2, 10]


def test_frames_and_masks_in_one_folder(tmp_path):
    for number in (10, 2, 1):
        frame(tmp_path / f"x{number}.png")
        mask(tmp_path / f"x{number}_mask.png", number)
    video = open_folder(tmp_path)
    assert [video.frames.frame_name(i) for i in range(3)] == ["x1", "x2", "x10"]
    assert values(video) == [1, 2, 10]


def test_frames_that_are_called_masks_are_frames(tmp_path):
    for number in range(3):
        frame(tmp_path / f"mask_{number}.png")
    video = open_folder(tmp_path)
    assert len(video.frames) == 3 and video.labels is None


def test_own_patterns(tmp_path):
    for number in range(2):
        frame(tmp_path / "images" / f"cam{number}-left.png")
        mask(tmp_path / "masks" / f"truth-cam{number}.png", number)
    with pytest.raises(UserError, match=r"truth-cam0\.png: this mask has no frame.*mask_names"):
        open_folder(tmp_path)
    rules = FolderRules(names=names_with(("*-left",), ("truth-*",)))
    assert values(open_folder(tmp_path, rules)) == [0, 1]
    with pytest.raises(UserError, match=r"data\.mask_names: 'a' needs one '\*'"):
        names_with(("",), ("a",))


def test_the_best_of_several_masks_of_a_frame(tmp_path):
    """Cityscapes keeps ids, train ids, instances and colours side by side."""
    frame(tmp_path / "images" / "a_leftImg8bit.png")
    for kind, value in (("labelIds", 7), ("labelTrainIds", 5), ("instanceIds", 9), ("color", 3)):
        mask(tmp_path / "masks" / f"a_gtFine_{kind}.png", value)
    assert values(open_folder(tmp_path)) == [5]
    (tmp_path / "masks" / "a_gtFine_labelTrainIds.png").unlink()
    assert values(open_folder(tmp_path)) == [0]  # id 7 is the road


# ---------------------------------------------------------------------------- sparse labels


@pytest.mark.robustness(
    "Masks and labels", "masks on some frames only", "scored there; mVC is left out and said so"
)
def test_masks_on_some_frames(tmp_path, said, data_config):
    for number in range(5):
        frame(tmp_path / "origin" / f"{number}.jpg")
    for number in (1, 4):
        mask(tmp_path / "mask" / f"{number}.png", number)
    video = open_folder(tmp_path)
    assert values(video) == [None, 1, None, None, 4] and not video.dense
    assert [video.labels.labelled(i) for i in range(5)] == [False, True, False, False, True]
    assert "3 of 5 frames have no mask" in said(video.warnings[0])
    pictures = stills(data_config(kind="folder", path=str(tmp_path)))
    assert [int(label[0, 0]) for _, label in pictures] == [1, 4]


# ---------------------------------------------------------------------------- video files, lists


@pytest.fixture
def clips(tmp_path):
    import av

    for name in ("b.mkv", "a.mkv", "a.AVI"):
        form = name.rpartition(".")[2].lower().replace("mkv", "matroska")
        with av.open(str(tmp_path / name), "w", format=form) as container:
            stream = container.add_stream("mjpeg", rate=10)
            stream.width, stream.height, stream.pix_fmt = 32, 16, "yuvj420p"
            for _ in range(3):
                picture = av.VideoFrame.from_ndarray(np.zeros((16, 32, 3), np.uint8))
                container.mux(stream.encode(picture))
            container.mux(stream.encode())
    frame(tmp_path / "c" / "0.jpg")
    return tmp_path


@pytest.mark.robustness(AREA, "a folder of video files", "each is a video")
def test_a_folder_of_video_files(clips, data_config):
    videos = open_videos(data_config(kind="folder", path=str(clips)))
    assert videos.names == ("a.AVI", "a.mkv", "b", "c")
    assert [len(video.frames) for video in videos] == [3, 3, 3, 1]
    assert [video.name for video in videos] == list(videos.names)


@pytest.mark.robustness(AREA, "a list of videos (data.list)", "these, in its order")
def test_a_list_of_videos(clips, data_config):
    (clips / "val.txt").write_bytes("\ufeff# chosen\r\nc\r\n\r\nclips/b.mkv\r\n".encode())
    data = data_config(kind="folder", path=str(clips), list="val.txt")
    videos = open_videos(data)
    assert videos.names == ("c", "b") and videos[1].name == "b"
    data.max_videos = 1
    assert open_videos(data).names == ("c",)


@pytest.mark.robustness(AREA, "a list that names what is not there, or twice", "named")
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"b\nd.mkv\n", "no video 'd.mkv' in data.path"),
        (b"b\nb\n", "the video 'b' is named twice"),
        (b"\n# none\n", "names no video"),
        (b"\xff\xfe\x00b", "no text in UTF-8"),
    ],
)
def test_lists_that_do_not_fit(clips, data_config, content, words, said):
    (clips / "val.txt").write_bytes(content)
    data = data_config(kind="folder", path=str(clips), list=str(clips / "val.txt"))
    with pytest.raises(UserError, match=r"data\.list: .*val\.txt") as error:
        open_videos(data)
    assert words in said(str(error.value))
    data.list = "missing.txt"
    with pytest.raises(UserError, match=r"data\.list: missing\.txt: no such file"):
        open_videos(data)

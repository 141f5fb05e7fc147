import multiprocessing
import subprocess
import sys

import numpy as np
import pytest

from ditta_jax.data.images import decode_frame, encode_png
from ditta_jax.data.prepared import default_data_dir, open_builder
from ditta_jax.data.procedural import drive_tfds
from ditta_jax.data.procedural.classes import CLASSES, PALETTE
from ditta_jax.data.procedural.drive import video
from ditta_jax.data.sources import open_videos
from ditta_jax.data.stills import stills
from ditta_jax.data.tfds_videos import data_classes
from ditta_jax.errors import UserError

TINY = drive_tfds.RECIPES["tiny"]


@pytest.fixture
def tiny(data_config, tiny_dir):
    return data_config(builder="procedural_drive/tiny", data_dir=str(tiny_dir))


def test_videos_through_tfds_are_those_of_the_generator(tiny):
    videos = open_videos(tiny)
    assert len(videos) == TINY.videos and videos.names == ("video_000", "video_001")
    opened = videos[1]
    assert opened.size == TINY.size and len(opened.frames) == len(opened.labels) == TINY.frames
    made = list(video((13, 1), TINY.frames, TINY.size, TINY.severity))
    for index in (4, 0, 2):
        np.testing.assert_array_equal(opened.labels[index], made[index].label)
        error = np.abs(opened.frames[index].astype(int) - made[index].frame)
        assert error.mean() < 6  # JPEG
        encoded = opened.frames.encoded(index)
        np.testing.assert_array_equal(decode_frame(encoded, "x"), opened.frames[index])
    assert opened.frames.frame_name(4) == "00004" and opened.frames.file(0) is None


def test_iteration_ends_and_limits_hold(tiny):
    tiny.max_videos, tiny.max_frames = 1, 3
    (only,) = list(open_videos(tiny))
    assert len(only.frames) == len(only.labels) == 3
    with pytest.raises(IndexError):
        only.frames[3]


def test_the_splits_differ(tiny):
    first = [open_videos(tiny)[0].frames[0], stills(tiny)[0][0]]
    tiny.split = "video_val"
    first += [open_videos(tiny)[0].frames[0], stills(tiny, "stills_val")[0][0]]
    assert len({frame.tobytes() for frame in first}) == 4


def test_stills_through_tfds(tiny):
    source = stills(tiny)
    assert len(source) == TINY.stills and len(stills(tiny, "stills_val")) == TINY.stills_val
    frame, label = source[TINY.stills - 1]
    assert frame.shape == (*TINY.size, 3) and label.shape == TINY.size
    assert label.max() < len(CLASSES)
    with pytest.raises(IndexError):
        source[TINY.stills]


def test_classes(tiny, data_config):
    assert data_classes(tiny) == (CLASSES, PALETTE)
    assert data_classes(data_config(kind="folder")) is None


def test_wrong_settings_are_named(tiny, data_config):
    tiny.split = "train"
    with pytest.raises(UserError, match=r"data\.split: .*no split 'train'; known: stills"):
        open_videos(tiny)
    tiny.split = "stills"
    with pytest.raises(UserError, match="single pictures"):
        open_videos(tiny)
    for changes, message in (
        ({"kind": "zip"}, r"data\.kind: unknown kind 'zip'"),
        ({"builder": "imagenet"}, r"data\.builder: unknown data set 'imagenet'"),
        ({"builder": "procedural_drive/huge"}, "unknown recipe 'huge'"),
        ({"kind": "folder"}, r"data\.path: is empty"),
        ({"kind": "file", "path": "/missing.mp4"}, "no such video file"),
    ):
        with pytest.raises(UserError, match=message):
            open_videos(data_config(**changes))[0]
    with pytest.raises(UserError, match="come from tfds, folder, vspw or cityscapes, not 'file'"):
        stills(data_config(kind="file"))


def test_a_data_dir_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"data\.data_dir: cannot keep data"):
        open_builder("procedural_drive/tiny", tmp_path / "file" / "sub")


def test_folders_as_videos_and_stills(tmp_path, data_config):
    for name in ("a", "b"):
        for part, image in (
            ("origin", np.zeros((4, 6, 3), np.uint8)),
            ("mask", np.ones((4, 6), np.uint8)),
        ):
            (tmp_path / name / part).mkdir(parents=True)
            for frame in range(3):
                (tmp_path / name / part / f"{frame}.png").write_bytes(encode_png(image))
    data = data_config(kind="folder", path=str(tmp_path))
    assert open_videos(data, 2).names == ("a", "b")
    assert len(stills(data, num_classes=2)) == 6
    only_a = stills(data, paths=(str(tmp_path / "a"),), num_classes=2)
    assert len(only_a) == 3 and (only_a[2][1] == 1).all()
    with pytest.raises(UserError, match="value 1 is no class"):
        stills(data, num_classes=1)[0]
    for mask in (tmp_path / "a" / "mask").iterdir():
        mask.unlink()
    (tmp_path / "a" / "mask").rmdir()
    with pytest.raises(UserError, match="no labels here"):
        stills(data)


def test_the_recipe_is_part_of_the_name(monkeypatch):
    from ditta_jax.data.procedural import shift

    before = TINY.digest()
    assert before != drive_tfds.RECIPES["full"].digest()
    monkeypatch.setattr(shift, "FOG", (0.0, 0.5))
    assert TINY.digest() != before


def test_default_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_data_dir() == tmp_path / "ditta_jax" / "tfds"


def test_what_a_killed_build_left_is_replaced(tmp_path):
    recipe = drive_tfds.Recipe(1, 1, 1, 1, 2, (64, 96))
    place = tmp_path / "procedural_drive" / f"x-{recipe.digest()}"
    left = place / "incomplete.ABCDEF_1.0.0"
    for folder in (left, place / "1.0.0"):  # the second without dataset_info.json
        folder.mkdir(parents=True)
        (folder / "half.array_record").write_bytes(b"half")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(drive_tfds.RECIPES, "x", recipe)
        builder = open_builder("procedural_drive/x", tmp_path)
    assert len(builder.as_data_source("video")) == 2 and not left.exists()
    assert not (place / "1.0.0" / "half.array_record").exists()


def _build(folder, queue):
    builder = open_builder("procedural_drive/tiny", folder)
    queue.put(len(builder.as_data_source("stills")))


def test_two_processes_build_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    workers = [context.Process(target=_build, args=(tmp_path, queue)) for _ in range(2)]
    for worker in workers:
        worker.start()
    assert [queue.get(timeout=120) for _ in workers] == [TINY.stills] * 2
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0


def test_neither_tensorflow_nor_jax_nor_torch_is_needed(tiny_dir):
    program = (
        "import sys; from ml_collections import ConfigDict;"
        "from ditta_jax.data import augment, prefetch, sources;"
        "assert 'tensorflow_datasets' not in sys.modules and 'av' not in sys.modules;"
        "d = ConfigDict(dict(kind='tfds', builder='procedural_drive/tiny', split='video',"
        f" data_dir={str(tiny_dir)!r}, path='', list='', max_videos=0, max_frames=0));"
        "sources.open_videos(d)[0].frames[0];"
        "print([m for m in ('tensorflow', 'jax', 'torch') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]" and done.stderr == ""

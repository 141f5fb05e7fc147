import contextlib
import os
import socket

import numpy as np
import pytest

from ditta_jax.data.folder import FolderRules, open_folder
from ditta_jax.data.images import encode_jpeg, encode_png
from ditta_jax.data.masks import MaskRules
from ditta_jax.data.video import Videos
from ditta_jax.errors import UserError
from ditta_jax.runs.preflight import look, look_at
from tests.data.test_layouts import frame, mask

AREA = "Frames and videos"


def split(frames):
    """As a warm-up of 10 percent."""
    warm_up = max(frames // 10, 1)
    return warm_up, warm_up


@pytest.fixture
def clip(tmp_path):
    for number in range(12):
        frame(tmp_path / "origin" / f"{number}.jpg", size=(48, 64))
        mask(tmp_path / "mask" / f"{number}.png", number % 3, size=(48, 64))
    return tmp_path


def preview(folder, classes=3):
    return look(open_folder(folder, FolderRules(masks=MaskRules(num_classes=classes))), split, (8,))


def test_a_healthy_video(clip):
    found = preview(clip)
    assert found[1:6] == ((48, 64), 12, 1, 11, 11)
    assert found.faults == () and found.warnings == ()


PICTURE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


@pytest.mark.robustness(
    AREA, "any frame or mask that does not fit, anywhere in a video", "named before any work"
)
@pytest.mark.parametrize(
    ("file", "data", "words"),
    [
        ("origin/7.jpg", encode_jpeg(PICTURE)[:700], "7.jpg: the image is truncated"),
        ("origin/7.jpg", b"", "7.jpg: the file is empty"),
        ("origin/7.jpg", b"<html>404</html>", "7.jpg: neither JPEG nor PNG"),
        ("origin/7.jpg", encode_jpeg(PICTURE[:40]), "7.jpg: a frame of 40x64"),
        ("mask/7.png", encode_png(PICTURE[:47, :, 0]), "one row less than its frame"),
        ("mask/7.png", encode_png(PICTURE[:, :, 0].T.copy()), "a mask of 64x48"),
        ("mask/7.png", encode_jpeg(PICTURE), "masks must be PNG files"),
        ("mask/7.png", encode_png(PICTURE), "7.png: a mask in colour"),
        ("mask/7.png", encode_png(np.full((48, 64), 9, np.uint8)), "value 9 is no class"),
        ("mask/7.png", encode_png(PICTURE[..., 0])[:500], "7.png: the image is truncated"),
    ],
)
def test_what_does_not_fit_is_named(clip, file, data, words, said):
    (clip / file).write_bytes(data)
    found = preview(clip)
    assert words in said(found.message)


@pytest.mark.robustness(
    AREA, "a pipe, a socket, a link without end among frames or masks", "named before any work"
)
@pytest.mark.parametrize("file", ["origin/7.jpg", "mask/7.png"])
@pytest.mark.parametrize("kind", ["pipe", "socket", "loop", "dangling"])
def test_what_is_no_file_is_not_waited_for(clip, said, file, kind):
    (clip / file).unlink()
    if kind == "pipe":
        os.mkfifo(clip / file)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as own, contextlib.chdir((clip / file).parent):
            own.bind((clip / file).name)
    else:
        (clip / file).symlink_to((clip / file) if kind == "loop" else "nowhere")
    assert f"{file}: cannot read it: " in said(preview(clip).message)


@pytest.mark.robustness(AREA, "a video of one frame", "named before any work")
def test_nothing_left_to_score(clip, said):
    for number in range(1, 12):
        (clip / "origin" / f"{number}.jpg").unlink()
        (clip / "mask" / f"{number}.png").unlink()
    assert "all of them warm-up" in said(preview(clip).message)


def test_warnings(clip):
    for number in range(5, 12):
        (clip / "origin" / f"{number}.jpg").unlink()
        (clip / "mask" / f"{number}.png").unlink()
    assert preview(clip).warnings == (f"{clip.name}: 4 scored frames are too few for mVC8",)
    for number in range(1, 5):
        (clip / "mask" / f"{number}.png").unlink()
    assert preview(clip).warnings[-1].endswith("none of its 4 scored frames has labels")


def test_one_bad_video_does_not_hide_the_others(clip):
    def opener(index):
        if index == 1:
            raise UserError("b: does not open")
        return open_folder(clip)

    seen = []
    found = look_at(Videos(["a", "b", "c"], opener), split, advance=seen.append)
    assert [bool(own.faults) for own in found] == [False, True, False]
    assert seen == ["a", "b", "c"] and found[1].message == "b: does not open"


def test_many_faults_are_one_line(clip):
    for number in range(12):
        (clip / "origin" / f"{number}.jpg").write_bytes(b"")
    with pytest.raises(UserError, match="the file is empty"):
        preview(clip)
    (clip / "origin" / "0.jpg").write_bytes(encode_jpeg(PICTURE))
    message = preview(clip).message
    assert message.endswith("; and 8 more") and "\n" not in message

"""`data.kind` and `data.path` that do not fit each other or what is there."""

import pytest

from ditta_jax.data.sources import open_videos
from ditta_jax.errors import UserError
from tests.data.test_layouts import frame

AREA = "Settings and command line"


@pytest.fixture
def place(tmp_path):
    """What the cases below are about."""
    frame(tmp_path / "clip" / "0.jpg")
    (tmp_path / "street.mp4").write_bytes(b"a video by its name")
    (tmp_path / "frames.zip").write_bytes(b"PK")
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "empty").mkdir()
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / ".DS_Store").write_text("")
    frame(tmp_path / "hidden" / "._0.jpg")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "0.gif").write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("kind", "path", "words"),
    [
        ("folder", "{}/street.mp4", "this is a file, not a folder: set data.kind=file"),
        ("folder", "{}/clip/0.jpg", "this is one picture; give the folder it lies in"),
        ("folder", "{}/frames.zip", "this is an archive; unpack it"),
        ("folder", "{}/notes.txt", "this is a file; data.path needs a folder"),
        ("file", "{}/clip", "this is a folder, not a file: set data.kind=folder"),
        ("file", "{}/clip/0.jpg", "this is one picture; give its folder"),
        ("file", "{}/frames.zip", "this is an archive"),
        ("file", "/dev/null", "this is no regular file"),
        ("tfds", "{}/clip", "set data.kind=folder"),
        ("tfds", "{}/street.mp4", "set data.kind=file"),
        ("video", "{}/street.mp4", "unknown kind 'video'; known: tfds, folder, file"),
        ("Folder", "{}/clip", "'folder' is meant?"),
        ("folder", "https://example.org/a.zip", "is a URL; download it first"),
        ("file", "s3://bucket/street.mp4", "is a URL; download it first"),
        ("file", "gs://bucket/street.mp4", "is a URL; download it first"),
        ("folder", "{}/missing", "missing: no such folder of frames; check data.path"),
        ("folder", "{}/clp", "has no 'clp', but 'clip'"),
        ("file", "{}/stret.mp4", "has no 'stret.mp4', but 'street.mp4'"),
        ("folder", "{}/clip/*.jpg", "patterns are not expanded"),
        ("file", "{}/[ab].mp4", "patterns are not expanded"),
        ("folder", r"C:\videos\street", "is a Windows path"),
        ("folder", "D:/videos/street", "is a Windows path"),
        ("folder", r"\\server\videos", "is a Windows path"),
        ("folder", "", "data.path: is empty; kind 'folder' needs a path"),
        ("file", "  ", "data.path: is empty; kind 'file' needs a path"),
        ("folder", "{}/empty", "the folder is empty"),
        ("folder", "{}/hidden", "only hidden files"),
        ("folder", "{}/other", "no frames here (found .gif)"),
        ("folder", "~nobody_of_this_name/x", "cannot be a path"),
        ("folder", "x" * 5000, "cannot be a path"),
    ],
)
@pytest.mark.robustness(AREA, "data.kind and data.path that do not fit", "what to set instead")
def test_what_does_not_fit(place, data_config, kind, path, words, said):
    with pytest.raises(UserError) as error:
        open_videos(data_config(kind=kind, path=path.format(place)))
    assert words in said(str(error.value)) and "\n" not in str(error.value)


def test_backslashes(place, data_config, monkeypatch):
    monkeypatch.chdir(place)
    (place / "a").mkdir()
    frame(place / "a" / "b" / "0.jpg")
    with pytest.raises(UserError, match="write it with '/'"):
        open_videos(data_config(kind="folder", path="a\\b"))


def test_no_permission(place, data_config, monkeypatch):
    def refuse(folder):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(type(place), "iterdir", refuse)
    with pytest.raises(UserError, match="clip: cannot list it: Permission denied"):
        open_videos(data_config(kind="folder", path=str(place / "clip")))


def test_a_frame_that_is_a_broken_link_is_named(place, data_config):
    (place / "clip" / "1.jpg").symlink_to(place / "gone.jpg")
    video = open_videos(data_config(kind="folder", path=str(place / "clip")))[0]
    with pytest.raises(UserError, match=r"1\.jpg: cannot read it: No such file"):
        video.frames[1]

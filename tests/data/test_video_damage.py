"""Video files as they come from phones, broken copies and full cards."""

import struct

import av
import numpy as np
import pytest

from ditta_jax.data import matroska, video_scan
from ditta_jax.data.video_file import open_video_file
from ditta_jax.errors import UserError

FRAMES = 30
AREA = "Frames and videos"


def _frame(number: int) -> np.ndarray:
    """Noise, so that every packet is large enough to be hit."""
    frame = np.random.default_rng(number).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    frame[:16, :16] = (255, 0, 0)  # what is up and left
    return frame


def write(path, codec, pixels="yuv420p", options=None, **settings):
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        for key, value in settings.items():
            setattr(stream.codec_context, key, value)
        for number in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(_frame(number), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One healthy file of each container."""
    folder = tmp_path_factory.mktemp("whole")
    write(folder / "a.mkv", "libx264", gop_size=8)
    write(folder / "a.webm", "libvpx")
    write(folder / "a.mp4", "libx264", gop_size=8, max_b_frames=2)
    write(folder / "fast.mp4", "libx264", options={"movflags": "faststart"}, gop_size=8)
    write(folder / "a.avi", "mjpeg", "yuvj420p")
    write(folder / "a.ts", "mpeg2video", gop_size=8)
    return folder


def _damaged(source, folder, change):
    data = bytearray(source.read_bytes())
    path = folder / source.name
    path.write_bytes(bytes(change(data)))
    return path


def _cut(data):
    return data[: len(data) * 7 // 10]


def _wiped(data):
    middle = len(data) // 2
    data[middle : middle + len(data) // 20] = bytes(len(data) // 20)
    return data


def _flipped(data):
    rng = np.random.default_rng(3)
    for place in rng.integers(len(data) // 2, len(data) * 6 // 10, 60):
        data[place] ^= 255
    return data


@pytest.mark.parametrize("name", ["a.mkv", "a.webm", "a.mp4", "fast.mp4", "a.avi", "a.ts"])
def test_healthy_files_are_whole(folder, name):
    found = video_scan.scan(folder / name)
    assert found.damage == "" and found.good == tuple(range(FRAMES))


@pytest.mark.robustness(
    AREA, "a video file that is cut off", "refused: good of declared frames, and where"
)
@pytest.mark.parametrize("name", ["a.mkv", "a.webm", "fast.mp4", "a.avi"])
def test_a_file_that_is_cut_off(folder, tmp_path, name, said):
    path = _damaged(folder / name, tmp_path, _cut)
    with pytest.raises(UserError, match=rf"{name}: damaged video: \d+ .*good") as error:
        open_video_file(path)
    assert "keep" in said(str(error.value)) and "Errno" not in str(error.value)
    video = open_video_file(path, damaged="keep")
    assert 10 < len(video.frames) < FRAMES and name in video.warnings[0]
    healthy = open_video_file(folder / name)
    for index in (0, len(video.frames) // 2, len(video.frames) - 1):
        np.testing.assert_array_equal(video.frames[index], healthy.frames[index])


@pytest.mark.robustness(
    AREA, "a video file damaged in the middle", "refused, or its good frames kept with a warning"
)
@pytest.mark.parametrize(
    ("name", "change"),
    [(n, _wiped) for n in ("a.mkv", "a.webm", "a.mp4", "fast.mp4", "a.avi", "a.ts")]
    # Not a.webm: VP8 decodes changed bytes, nothing tells them from a strange picture.
    + [(n, _flipped) for n in ("a.mkv", "a.mp4", "fast.mp4", "a.avi", "a.ts")],
)
def test_a_file_damaged_in_the_middle(folder, tmp_path, name, change, said):
    path = _damaged(folder / name, tmp_path, change)
    with pytest.raises(UserError, match=rf"{name}: damaged video: \d+ ") as error:
        open_video_file(path)
    said(str(error.value))
    video = open_video_file(path, damaged="keep")
    assert 8 <= len(video.frames) < FRAMES
    assert all(frame.shape == (48, 64, 3) for frame in video.frames)


@pytest.mark.robustness(AREA, "an mp4 whose index is cut off", "refused: what is missing")
def test_an_mp4_without_its_index(folder, tmp_path, said):
    with pytest.raises(UserError, match=r"a\.mp4: this video's index \(moov\) is missing") as error:
        open_video_file(_damaged(folder / "a.mp4", tmp_path, _cut))
    said(str(error.value))


def test_damage_after_the_frames_that_are_wanted_does_not_matter(folder, tmp_path):
    path = _damaged(folder / "fast.mp4", tmp_path, _cut)
    assert len(open_video_file(path, max_frames=5).frames) == 5


def test_a_file_is_scanned_once_and_again_when_it_changes(folder, tmp_path, monkeypatch):
    path = _damaged(folder / "a.mkv", tmp_path, lambda data: data)
    calls = []
    once = video_scan._pass
    monkeypatch.setattr(video_scan, "_pass", lambda *a: calls.append(1) or once(*a))
    for _ in range(3):
        assert len(open_video_file(path).frames) == FRAMES
    assert len(calls) == 1
    path.write_bytes((folder / "a.webm").read_bytes())
    open_video_file(path)
    assert len(calls) == 2


def test_every_cut_of_a_matroska_file_is_seen(folder):
    data = (folder / "a.mkv").read_bytes()
    whole = folder / "cut.bin"
    for length in range(200, len(data), 97):
        whole.write_bytes(data[:length])
        assert matroska.first_fault(whole)
    whole.write_bytes(data)
    assert matroska.first_fault(whole) == ""
    whole.write_bytes(b"RIFF" + data)
    assert matroska.first_fault(whole) == ""  # no such file: nothing to say


def _matrix(a, b, c, d):
    return struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)


@pytest.mark.robustness(
    AREA, "a phone's video (display matrix: turned or mirrored)", "shown upright"
)
@pytest.mark.parametrize(
    ("matrix", "shown"),
    [
        ((0, 1, -1, 0), lambda x: np.rot90(x, -1)),
        ((0, -1, 1, 0), lambda x: np.rot90(x, 1)),
        ((-1, 0, 0, -1), lambda x: np.rot90(x, 2)),
        ((-1, 0, 0, 1), np.fliplr),
        ((1, 0, 0, -1), np.flipud),
        ((0, 1, 1, 0), lambda x: x.swapaxes(0, 1)),
        ((0, -1, -1, 0), lambda x: np.rot90(x, 2).swapaxes(0, 1)),
    ],
)
def test_display_matrix(folder, tmp_path, matrix, shown):
    def turn(data):
        place = data.index(b"tkhd") + 4 + 4 + 20 + 16
        data[place : place + 36] = _matrix(*matrix)
        return data

    coded = open_video_file(folder / "a.mp4")
    video = open_video_file(_damaged(folder / "a.mp4", tmp_path, turn))
    expected = shown(coded.frames[3])
    assert video.size == expected.shape[:2]
    np.testing.assert_array_equal(video.frames[3], expected)


@pytest.mark.parametrize(
    ("name", "codec", "pixels", "options"),
    [
        ("still.mp4", "libx264", "yuv420p", {}),
        ("open_gop.mp4", "libx264", "yuv420p", {"x264-params": "open-gop=1:bframes=2:keyint=10"}),
        ("interlaced.ts", "libx264", "yuv420p", {"x264-params": "interlaced=1"}),
        ("fragments.mp4", "libx264", "yuv420p", {}),
        ("live.mkv", "libx264", "yuv420p", {}),
        ("raw.h264", "libx264", "yuv420p", {}),
        ("a.hevc.mp4", "libx265", "yuv420p10le", {"x265-params": "log-level=none"}),
        ("hidden.webm", "libvpx", "yuv420p", {"auto-alt-ref": "1", "lag-in-frames": "16"}),
        ("a.vp9.webm", "libvpx-vp9", "yuv420p", {"auto-alt-ref": "1", "lag-in-frames": "16"}),
        ("a.av1.mp4", "libsvtav1", "yuv420p", {}),
        ("still.avi", "mpeg4", "yuv420p", {}),
        ("a.mpg", "mpeg2video", "yuv420p", {}),
        ("a.mov", "prores_ks", "yuv422p10le", {}),
        ("checksums.mkv", "ffv1", "yuv420p", {"level": "3", "slicecrc": "1"}),
        ("a.wmv", "wmv2", "yuv420p", {}),
        ("a.flv", "flv", "yuv420p", {}),
        ("still.mov", "qtrle", "rgb24", {}),
        ("a.y4m", "wrapped_avframe", "yuv420p", {}),
    ],
)
def test_healthy_files_of_many_kinds_are_whole(tmp_path, name, codec, pixels, options):
    """Among them: frames that are not shown, packets of a few bytes, hidden key frames."""
    settings = {
        "fragments.mp4": {"movflags": "frag_keyframe+empty_moov"},
        "live.mkv": {"live": "1"},
    }
    with av.open(str(tmp_path / name), "w", options=settings.get(name, {})) as container:
        stream = container.add_stream(codec, rate=10, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        for number in range(FRAMES):
            picture = _frame(0 if name.startswith("still") else number)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    found = video_scan.scan(tmp_path / name)
    assert found.damage == "" and len(found.good) == FRAMES


def test_frames_at_uneven_times(tmp_path):
    from fractions import Fraction

    path = tmp_path / "uneven.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.time_base = Fraction(1, 1000)
        for number, time in enumerate(np.cumsum([0, 40, 33, 900, 17, 40, 40, 2000]).tolist()):
            frame = av.VideoFrame.from_ndarray(_frame(number), format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert video_scan.scan(path).damage == "" and len(open_video_file(path).frames) == 8

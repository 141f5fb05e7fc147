import av
import numpy as np
import pytest

from ditta_jax.data import video_file
from ditta_jax.data.video_file import open_video_file
from ditta_jax.errors import UserError

FRAMES = 30


def _frame(number: int) -> np.ndarray:
    frame = np.full((48, 64, 3), number * 8, np.uint8)
    frame[:, number : number + 8] = (255, number, 0)
    return frame


def _write(path, codec: str, pixels: str, **settings) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        for key, value in settings.items():
            setattr(stream.codec_context, key, value)
        for number in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(_frame(number), format="rgb24")
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


@pytest.fixture(scope="module")
def lossless(tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "street.mkv"
    _write(path, "ffv1", "bgr0")
    return path


@pytest.fixture(scope="module")
def with_b_frames(tmp_path_factory):
    """Coded in another order than shown; key frames every 8."""
    path = tmp_path_factory.mktemp("video") / "coded.mp4"
    _write(path, "libx264", "yuv420p", gop_size=8, max_b_frames=2)
    return path


def test_lossless_round_trip_in_any_order(lossless):
    video = open_video_file(lossless, window=2)
    assert video.name == "street" and video.size == (48, 64) and video.labels is None
    assert len(video.frames) == FRAMES
    for index in [*range(FRAMES), 0, 29, 15, 16, 14, 3]:
        np.testing.assert_array_equal(video.frames[index], _frame(index))
    assert video.frames.frame_name(3) == "00003" and video.frames.file(3) is None
    video.frames.close()


def test_frames_come_in_order_of_presentation(with_b_frames):
    video = open_video_file(with_b_frames)
    levels = [int(video.frames[i][:, -8:].mean()) for i in range(FRAMES - 8)]
    assert levels == sorted(levels) and np.ptp(levels) > 100
    video.frames.close()


def test_going_back_and_far_ahead_gives_the_same_frames(with_b_frames, monkeypatch):
    monkeypatch.setattr(video_file, "_FAR", 4)
    forward = open_video_file(with_b_frames, window=1)
    expected = [forward.frames[i].copy() for i in range(FRAMES)]
    jumping = open_video_file(with_b_frames, window=1)
    for index in np.random.default_rng(0).permutation(FRAMES):
        np.testing.assert_array_equal(jumping.frames[int(index)], expected[index])
    forward.frames.close()
    jumping.frames.close()


def test_without_time_stamps_it_starts_again(lossless):
    video = open_video_file(lossless, window=1)
    video.frames._seekable = False
    for index in (5, 2, 20, 0):
        np.testing.assert_array_equal(video.frames[index], _frame(index))
    video.frames.close()


def test_memory_is_bounded_by_the_window(lossless):
    video = open_video_file(lossless, window=3)
    for index in range(FRAMES):
        video.frames[index]
    assert len(video.frames._cache) == 3
    video.frames.close()


@pytest.mark.parametrize(
    ("fps", "expected"),
    [
        (0, range(30)),
        (5, range(0, 30, 2)),
        (2.5, range(0, 30, 4)),
        (100, range(30)),
        (1, (0, 10, 20)),
    ],
)
def test_fewer_frames_a_second(lossless, fps, expected):
    video = open_video_file(lossless, fps=fps)
    shown = [int(video.frames[i][0, -1, 0]) // 8 for i in range(len(video.frames))]
    np.testing.assert_allclose(shown, list(expected), atol=0)
    video.frames.close()


def test_max_frames(lossless):
    assert len(open_video_file(lossless, max_frames=4).frames) == 4
    assert len(open_video_file(lossless, fps=5, max_frames=4).frames) == 4


def test_encoded_is_a_png_of_the_frame(lossless):
    from ditta_jax.data.images import decode_frame

    frames = open_video_file(lossless).frames
    np.testing.assert_array_equal(decode_frame(frames.encoded(7), "x"), _frame(7))
    frames.close()


def test_unreadable_files_are_named(tmp_path, lossless):
    with pytest.raises(UserError, match="no such video file"):
        open_video_file(tmp_path / "missing.mp4")
    for name, data in (("empty.mp4", b""), ("text.mp4", b"hello " * 100)):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UserError, match=f"{name}: PyAV cannot read"):
            open_video_file(tmp_path / name)
    (tmp_path / "cut.mkv").write_bytes(lossless.read_bytes()[:600])
    with pytest.raises(UserError, match=r"cut\.mkv"):
        open_video_file(tmp_path / "cut.mkv")
    with pytest.raises(UserError, match=r"data\.fps"):
        open_video_file(lossless, fps=-1)


def test_sound_without_pictures(tmp_path):
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(
            np.zeros((1, 800), np.int16), format="s16", layout="mono"
        )
        sound.sample_rate = 8000
        for packet in [*stream.encode(sound), *stream.encode()]:
            container.mux(packet)
    with pytest.raises(UserError, match="no video stream"):
        open_video_file(path)

import errno

import av
import numpy as np
import pytest

from ditta_jax.errors import UserError
from ditta_jax.runs import overlay_video
from ditta_jax.runs.overlay_video import OverlayVideo
from ditta_jax.runs.page import film
from ditta_jax.runs.showing import Showing

CLASSES, PALETTE = ("road", "car"), ((200, 40, 40), (40, 40, 200))


def write(path, count, size=(49, 81)):
    with OverlayVideo(path, CLASSES, PALETTE) as video:
        for t in range(count):
            label = np.full(size, t % 2, np.uint8)
            frame = np.full((*size, 3), 120, np.uint8)
            video.write(frame, {"frozen student": label, "DiTTA": 1 - label})


@pytest.mark.parametrize("codec", [name for name, _ in overlay_video._CODECS])
def test_every_frame_is_there_in_a_form_that_browsers_play(tmp_path, codec, monkeypatch):
    chosen = [own for own in overlay_video._CODECS if own[0] == codec]
    try:
        av.codec.Codec(codec, "w")
    except av.codec.codec.UnknownCodecError:
        with pytest.raises(UserError, match="report.video"):
            monkeypatch.setattr(overlay_video, "_CODECS", chosen)
            write(tmp_path / "overlay.mp4", 1)
        return
    monkeypatch.setattr(overlay_video, "_CODECS", chosen)
    write(tmp_path / "v" / "overlay.mp4", 5)
    assert [file.name for file in (tmp_path / "v").iterdir()] == ["overlay.mp4"]
    with av.open(str(tmp_path / "v" / "overlay.mp4")) as container:
        (stream,) = container.streams.video
        assert stream.codec_context.pix_fmt == "yuv420p"
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert len(frames) == 5 and frames[0].shape[1] >= 3 * 81
    # frame 0: the frozen student says road (reddish), DiTTA car (bluish); frame 1 the other way
    for t, frame in enumerate(frames[:2]):
        left, right = frame[45, 81 + 6 + 40].astype(int), frame[45, 2 * 87 + 40].astype(int)
        assert (left[0] > left[2] + 40) == (t == 0) and (right[2] > right[0] + 40) == (t == 0)


def test_no_frame_no_file(tmp_path):
    write(tmp_path / "overlay.mp4", 0)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_run_leaves_no_half_video(tmp_path):
    with pytest.raises(KeyboardInterrupt), OverlayVideo(tmp_path / "o.mp4", CLASSES, PALETTE) as v:
        v.write(np.zeros((48, 80, 3), np.uint8), {"DiTTA": np.zeros((48, 80), np.uint8)})
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


@pytest.mark.robustness(
    "Run folders", "the disk is full while overlay.mp4 is written", "one line; no half video"
)
def test_a_full_disk_is_one_line(tmp_path, monkeypatch, said):
    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(av, "open", full)
    with pytest.raises(UserError) as error:
        write(tmp_path / "overlay.mp4", 40)
    said(str(error.value))
    assert "No space left" in str(error.value) and list(tmp_path.iterdir()) == []


def test_a_film_and_a_video_are_made_while_the_run_goes_on(tmp_path):
    size = (48, 80)
    own = film.Film("v", size, CLASSES, PALETTE, (2, 6), pictures=3)
    video = OverlayVideo(tmp_path / "overlay.mp4", CLASSES, PALETTE)
    with Showing((own, tmp_path / "v.json"), video, {"ditta": "DiTTA"}) as showing:
        label = np.zeros(size, np.uint8)
        for t in range(2, 6):
            showing.frame(t, np.zeros((*size, 3), np.uint8), {"ditta": label}, label)
            label += 0 if t < 4 else 1  # the caller may go on with its arrays
    content = film.read(tmp_path / "v.json")
    assert [picture["frame"] for picture in content["pictures"]] == [2, 4, 5]
    assert content["curves"]["flicker"] == {"ditta": [None, 0.0, 0.0, None]}
    assert (tmp_path / "overlay.mp4").is_file()


def test_what_fails_in_the_background_is_told_and_nothing_is_left(tmp_path):
    own = film.Film("v", (48, 80), CLASSES, PALETTE, (0, 40), pictures=3)
    video = OverlayVideo(tmp_path / "overlay.mp4", CLASSES, PALETTE)
    wrong = np.full((48, 80), 7, np.uint8)  # a class that there is not
    showing = Showing((own, tmp_path / "v.json"), video, {"ditta": "DiTTA"})
    with pytest.raises(ValueError, match="7"), showing:
        for t in range(40):
            showing.frame(t, np.zeros((48, 80, 3), np.uint8), {"ditta": wrong}, wrong)
    assert list(tmp_path.iterdir()) == []

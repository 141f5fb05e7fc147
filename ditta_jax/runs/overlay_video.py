"""A video to look at: input, truth and methods side by side.

<run>/overlays/<video>/overlay.mp4
"""

import os
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from ditta_jax.errors import UserError
from ditta_jax.files import writing
from ditta_jax.runs.overlays import side_by_side

# What browsers play, the most widely known first; which are there depends on the build of PyAV.
_CODECS: tuple[tuple[str, dict[str, str]], ...] = (
    ("libx264", {"preset": "superfast", "crf": "25"}),
    ("libopenh264", {}),
    ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "crf": "34", "b": "0"}),
    ("libsvtav1", {"preset": "10", "crf": "38"}),
)
FRAMES_PER_SECOND = 12.0  # a video's own rate is not known where it comes as single pictures
_LEGEND_LINES = 2


class OverlayVideo:
    """Writes the video of one video; a context manager, at whose end the file is whole or absent.

    Args:
        path: the .mp4 to write.
        classes: names, in label order.
        palette: RGB of each class.
        frames_per_second: of the result.
    """

    def __init__(
        self,
        path: Path,
        classes: Sequence[str],
        palette: Sequence[Sequence[int]],
        frames_per_second: float = FRAMES_PER_SECOND,
    ) -> None:
        self._path = path
        self._partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        self._classes, self._palette = classes, palette
        self._rate = Fraction(frames_per_second).limit_denominator(1000)
        self._container: Any = None
        self._stream: Any = None

    def __enter__(self) -> "OverlayVideo":
        return self

    def __exit__(self, kind, error, trace) -> None:
        if self._container is None:
            return
        try:
            with writing(self._path):
                if kind is None:
                    self._container.mux(self._stream.encode())
                self._container.close()
                if kind is None:
                    os.replace(self._partial, self._path)
        finally:
            self._partial.unlink(missing_ok=True)

    def write(
        self, frame: UInt8[np.ndarray, "H W 3"], labels: Mapping[str, UInt8[np.ndarray, "H W"]]
    ) -> None:
        """Add the next frame, with the label map of each panel by its title.

        Raises:
            UserError: the file cannot be written, or no codec is there.
        """
        import av

        picture = side_by_side(frame, labels, self._classes, self._palette, _LEGEND_LINES)
        values = _with_even_sides(np.asarray(picture))
        with writing(self._path):
            if self._container is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._container = av.open(str(self._partial), "w", format="mp4")
                self._stream = _stream(self._container, values.shape[:2], self._rate)
            own = av.VideoFrame.from_ndarray(values, format="rgb24")
            self._container.mux(self._stream.encode(own))


def _stream(container, size: tuple[int, int], rate: Fraction):
    """A stream of the first codec that this build of PyAV has."""
    import av

    for name, options in _CODECS:
        try:
            av.codec.Codec(name, "w")
        except av.codec.codec.UnknownCodecError:
            continue
        stream = container.add_stream(name, rate=rate, options=options)
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1  # the other cores are the network's
        return stream
    names = ", ".join(name for name, _ in _CODECS)
    raise UserError(
        f"report.video: this PyAV encodes none of {names}; pip install av, or set it to False"
    )


def _with_even_sides(picture: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """Colour is stored for two by two pixels: repeat a last odd row and column."""
    H, W = picture.shape[:2]
    return np.pad(picture, ((0, H % 2), (0, W % 2), (0, 0)), mode="edge")

"""Predictions as palette PNGs, written in the background while the next frames are computed.

<folder>/<method>/<frame name>.png    pixel value = class index
"""

import io
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from ditta_jax.files import write_whole
from ditta_jax.names import kept_name

# PNG compression of one 480p frame takes about 10 ms of one core; more threads would take cores
# from the network without ever being needed.
_THREADS = 2
# At most so many frames wait in memory: the writer slows the network down rather than grow.
_WAITING = 16


class PredictionWriter:
    """Writes the label maps of one video; a context manager that ends when all are on disk.

    Args:
        folder: made with the first frame.
        palette: RGB of each class, 0 to 255; at most 256 classes.
    """

    def __init__(self, folder: Path, palette: Sequence[Sequence[int]]) -> None:
        self._folder = folder
        self._palette = _flat_palette(palette)
        self._pool: ThreadPoolExecutor | None = None
        self._free = threading.Semaphore(_WAITING)
        self._errors: list[BaseException] = []

    def __enter__(self) -> "PredictionWriter":
        self._pool = ThreadPoolExecutor(_THREADS, "prediction")
        return self

    def __exit__(self, kind, error, trace) -> None:
        assert self._pool is not None
        self._pool.shutdown(wait=True, cancel_futures=kind is not None)
        if kind is None:
            self._raise_errors()

    def write(
        self, frame_name: str, prediction: UInt8[np.ndarray, "H W"], method: str = ""
    ) -> None:
        """Hand over one frame; waits only while many frames are still being written.

        Args:
            frame_name: of the file.
            prediction: class per pixel.
            method: folder within the video's; the video's own where it is empty.

        Raises:
            UserError: an earlier frame could not be written.
        """
        assert self._pool is not None, "use the writer in a with statement"
        self._raise_errors()
        image = Image.fromarray(np.array(prediction, np.uint8))  # a copy: the caller may go on
        path = self._folder / method / kept_name(frame_name, ".png")
        self._free.acquire()
        self._pool.submit(self._write, path, image).add_done_callback(self._done)

    def _write(self, path: Path, image: Image.Image) -> None:
        image.putpalette(self._palette)
        encoded = io.BytesIO()
        image.save(encoded, "png")
        write_whole(path, encoded.getvalue())

    def _done(self, future: Future) -> None:
        self._free.release()
        if not future.cancelled() and (error := future.exception()) is not None:
            self._errors.append(error)

    def _raise_errors(self) -> None:
        if not self._errors:
            return
        raise self._errors[0]


def _flat_palette(palette: Sequence[Sequence[int]]) -> bytes:
    """256 RGB triples as Pillow wants them; unused ones black, 255 = ignore white."""
    table = np.zeros((256, 3), np.uint8)
    table[255] = 255
    table[: len(palette)] = np.asarray(palette, np.uint8).reshape(-1, 3)
    return table.tobytes()

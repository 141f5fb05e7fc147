"""What stage A made of videos ahead of their turn: kept in memory, and beyond it on disk.

The teacher works on further videos while the student adapts (`exchange`), so stage A runs ahead,
of a teacher that takes all requests at once for all videos. What it gave (features, labels,
reliability: some 8 MB a frame at 480p) is kept rather than computed twice.
"""

import pickle
import tempfile
from pathlib import Path

import jax

from ditta_jax.errors import UserError
from ditta_jax.methods.protocol import WarmUp


class WarmUps:
    """A store of warm-ups by video; a context manager, at whose end its files are gone.

    Args:
        keep_bytes: of arrays kept in memory; a warm-up that does not fit goes to a file.
        folder: for a temporary folder of such files.
    """

    def __init__(self, keep_bytes: float, folder: Path) -> None:
        self._room = keep_bytes
        self._parent = folder
        self._kept: dict[str, WarmUp] = {}
        self._files: dict[str, Path] = {}
        self._folder: tempfile.TemporaryDirectory | None = None

    def __enter__(self) -> "WarmUps":
        return self

    def __exit__(self, *_: object) -> None:
        self._kept.clear()
        if self._folder is not None:
            self._folder.cleanup()

    def __contains__(self, video: str) -> bool:
        return video in self._kept or video in self._files

    def put(self, warm_up: WarmUp) -> None:
        """Keep a video's warm-up.

        Raises:
            UserError: it does not fit into memory, and the disk is full.
        """
        warm_up = jax.device_get(warm_up)  # a device has room for the videos in work only
        size = _bytes(warm_up)
        if size <= self._room:
            self._room -= size
            self._kept[warm_up.name] = warm_up
            return
        try:
            path = self._path(len(self._files))
            with open(path, "wb") as file:
                pickle.dump(warm_up, file, protocol=pickle.HIGHEST_PROTOCOL)
        except OSError as error:
            raise UserError(
                f"{self._parent}: no room for the features of the warm-up frames ({error.strerror})"
                "; parallel.keep_gb says how much is kept in memory"
            ) from error
        self._files[warm_up.name] = path

    def take(self, video: str) -> WarmUp:
        """A video's warm-up, which is no longer kept."""
        if video in self._kept:
            warm_up = self._kept.pop(video)
            self._room += _bytes(warm_up)
            return warm_up
        path = self._files.pop(video)
        with open(path, "rb") as file:
            warm_up = pickle.load(file)  # written above, in a folder that only we may enter
        path.unlink()
        return warm_up

    def _path(self, number: int) -> Path:
        if self._folder is None:
            self._parent.mkdir(parents=True, exist_ok=True)
            self._folder = tempfile.TemporaryDirectory(dir=self._parent, prefix=".warm-ups-")
        return Path(self._folder.name) / f"{number}.pickle"


def _bytes(warm_up: WarmUp) -> int:
    return sum(leaf.nbytes for leaf in jax.tree.leaves(warm_up) if hasattr(leaf, "nbytes"))

"""The teachers: what turns a request into masklets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from ditta_jax.errors import UserError
from ditta_jax.teacher.cache import Entry, Masklets
from ditta_jax.teacher.identity import FLOW, IMPORTED, imported_folder
from ditta_jax.teacher.imported_masks import read_imported_masks
from teacher_bridge.sam2.tracker import FrameMasks, Tracker
from teacher_bridge.search.tracks import find_masklets

Alive = Callable[[int], None]  # told the frame that was just tracked, as a sign of life


class Teacher(Protocol):
    """Anything that turns a request into masklets."""

    def prepare(self) -> None:
        """Get ready, once, before the first request; UserError if that is impossible."""

    def answer(self, entry: Entry, alive: Alive) -> Masklets:
        """Return the masklets of one video; UserError if its frames cannot be used."""


class Sam2Teacher:
    """SAM 2, or a fork of it, with the prompt search."""

    def __init__(
        self,
        config: str,
        checkpoint: str,
        device: str,
        dtype: str,
        mask_threshold: float = 0.0,
        target: str = "",
    ) -> None:
        """Take the settings of `predictor.build_predictor` and of `predictor.Sam2Tracker`."""
        self._settings = (config, checkpoint, device, target)
        self._masks = (dtype, mask_threshold)
        self._predictor: Any = None

    def prepare(self) -> None:
        """Build the predictor."""
        from teacher_bridge.sam2.predictor import build_predictor

        if self._predictor is None:
            self._predictor = build_predictor(*self._settings)

    def answer(self, entry: Entry, alive: Alive) -> Masklets:
        """Return the masklets that the prompt search finds."""
        device = str(self._predictor.device)
        try:
            with self._tracker(entry) as tracker:
                return find_masklets(Watched(tracker, alive), entry.request, {"device": device})
        except (RuntimeError, MemoryError) as error:
            if isinstance(error, RuntimeError) and "out of memory" not in str(error):
                raise
            raise UserError(
                f"{entry.folder}: out of memory on {device}; use --dtype bfloat16, a smaller SAM 2"
                " or --device cpu; where JAX holds the same GPU, start it with"
                " XLA_PYTHON_CLIENT_PREALLOCATE=false"
            ) from None

    @contextmanager
    def _tracker(self, entry: Entry) -> Iterator[Tracker]:
        from teacher_bridge.sam2.package_tracker import PackageTracker, lay_out_frames
        from teacher_bridge.sam2.predictor import Sam2Tracker, mixed_precision

        dtype, threshold = self._masks
        if not self._settings[-1]:
            # Prompted on one frame only, a video is gone through once: no frame is needed again.
            once = entry.request.kind == "first frame"
            self._predictor.feature_bytes = 0 if once else type(self._predictor).feature_bytes
            yield Sam2Tracker(self._predictor, entry, dtype, threshold)
            return
        with TemporaryDirectory(prefix="ditta-frames-") as folder:
            lay_out_frames(entry, Path(folder))
            with mixed_precision(self._predictor.device, dtype):
                yield PackageTracker(self._predictor, Path(folder), threshold)


class ImportedMasks:
    """Masks that another tracker left in a folder."""

    def __init__(self, folder: Path) -> None:
        """Take the folder that holds the masks of all videos."""
        self._folder = folder

    def prepare(self) -> None:
        """Do nothing: the files are read per video."""

    def answer(self, entry: Entry, alive: Alive) -> Masklets:
        """Return the video's masks as masklets."""
        return read_imported_masks(self._folder, entry.request)


class Watched:
    """A tracker that gives a sign of life with every frame."""

    def __init__(self, tracker: Tracker, alive: Alive) -> None:
        """Take the tracker and whom to tell."""
        self._alive = alive
        self.reset, self.click, self.mask = tracker.reset, tracker.click, tracker.mask
        self._propagate = tracker.propagate

    def propagate(self, frame: int, *, reverse: bool = False) -> FrameMasks:
        """See `Tracker`."""
        masks = self._propagate(frame, reverse=reverse)
        self._alive(frame)
        return masks


def make_teacher(
    config: str,
    checkpoint: str,
    device: str,
    dtype: str,
    mask_threshold: float = 0.0,
    target: str = "",
) -> Teacher:
    """Return the teacher that a configuration names; build no network yet."""
    if config.startswith(IMPORTED):
        return ImportedMasks(imported_folder(config))
    if config == FLOW:
        from teacher_bridge.flow.teacher import FlowTeacher

        return FlowTeacher()
    return Sam2Teacher(config, checkpoint, device, dtype, mask_threshold, target)

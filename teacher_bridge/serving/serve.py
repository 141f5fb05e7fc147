"""Answers the requests of a cache folder, one video after another."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

from ditta_jax.errors import UserError
from ditta_jax.teacher.cache import (
    EarlierEntry,
    Entry,
    Masklets,
    read_entry,
    read_masklets,
    write_masklets,
)
from ditta_jax.teacher.identity import PALETTE
from ditta_jax.teacher.palette_masks import read_palette_masks
from teacher_bridge.search.tracks import find_masklets

_RECORDED_PACKAGES = ("sam2", "torch", "numpy", "ditta-jax")

Report = Callable[[Mapping[str, Any]], None]


class Teacher(Protocol):
    """Anything that turns a request into masklets."""

    def prepare(self) -> None:
        """Gets ready, once, before the first request; UserError if that is impossible."""

    def answer(self, entry: Entry) -> Masklets:
        """Returns the masklets of one video; UserError if its frames cannot be used."""


class Sam2Teacher:
    """SAM 2 with the prompt search."""

    def __init__(
        self, config: str, checkpoint: str, device: str, dtype: str, mask_threshold: float = 0.0
    ) -> None:
        """Takes the settings of `predictor.build_predictor` and of `predictor.Sam2Tracker`."""
        self._settings = (config, checkpoint, device)
        self._masks = (dtype, mask_threshold)
        self._predictor: Any = None

    def prepare(self) -> None:
        """Builds the predictor."""
        from teacher_bridge.sam2.predictor import build_predictor

        if self._predictor is None:
            self._predictor = build_predictor(*self._settings)

    def answer(self, entry: Entry) -> Masklets:
        """Returns the masklets that the prompt search finds."""
        from teacher_bridge.sam2.predictor import Sam2Tracker

        device = str(self._predictor.device)
        try:
            tracker = Sam2Tracker(self._predictor, entry, *self._masks)
            return find_masklets(tracker, entry.request, {"device": device})
        except (RuntimeError, MemoryError) as error:
            if isinstance(error, RuntimeError) and "out of memory" not in str(error):
                raise
            raise UserError(
                f"{entry.folder}: out of memory on {device}; use --dtype bfloat16, a smaller SAM 2"
                " or --device cpu; where JAX holds the same GPU, start it with"
                " XLA_PYTHON_CLIENT_PREALLOCATE=false"
            ) from None


class PaletteTeacher:
    """Masks that another tracker left as palette PNGs, `<folder>/<video>/<frame>.png`."""

    def __init__(self, folder: str) -> None:
        """Takes the folder that holds one sub-folder per video."""
        self._folder = Path(folder).expanduser()

    def prepare(self) -> None:
        """Does nothing: the files are read per video."""

    def answer(self, entry: Entry) -> Masklets:
        """Returns the video's palette PNGs as masklets."""
        return read_palette_masks(self._folder / entry.request.video, entry.request)


def make_teacher(
    config: str, checkpoint: str, device: str, dtype: str, mask_threshold: float = 0.0
) -> Teacher:
    """Returns the teacher that a configuration names; builds no network yet."""
    if config.startswith(PALETTE):
        return PaletteTeacher(config.removeprefix(PALETTE))
    return Sam2Teacher(config, checkpoint, device, dtype, mask_threshold)


def find_entries(cache_dir: Path, names: Sequence[str]) -> list[Path]:
    """Returns the entry folders of a cache by name, or those named; UserError if one is missing."""
    if not cache_dir.is_dir():
        raise UserError(f"{cache_dir}: no such cache folder")
    if not names:
        return sorted(path.parent for path in cache_dir.glob("*/request.json"))
    folders = [cache_dir / name for name in dict.fromkeys(names)]
    for folder in folders:
        if not (folder / "request.json").is_file():
            raise UserError(f"{folder}: no request here")
    return folders


def serve(
    folders: Sequence[Path],
    teacher: Teacher,
    identity: Mapping[str, str],
    key: str,
    report: Report,
) -> list[str]:
    """Answers every entry that has no whole masklets of this teacher.

    A video that fails is reported and left; the others go on. Each answer is written as soon as
    it is there, so an interrupted run loses the current video at most.

    Returns:
      The messages of the failed ones.
    """
    waiting = [folder for folder in folders if read_masklets(folder, key) is None]
    report({"event": "start", "total": len(waiting), "finished": len(folders) - len(waiting)})
    if waiting:
        teacher.prepare()
    failures = []
    for done, folder in enumerate(waiting, start=1):
        begin = time.perf_counter()
        try:
            entry = read_entry(folder)
            masklets = teacher.answer(entry)
            seconds = time.perf_counter() - begin
            provenance = {**_circumstances(identity, seconds), **masklets.provenance}
            write_masklets(folder, key, masklets._replace(provenance=provenance))
        except EarlierEntry as error:
            report({"event": "skipped", "entry": folder.name, "message": str(error)})
            continue
        except UserError as error:
            failures.append(str(error))
            report({"event": "failed", "entry": folder.name, "message": str(error)})
            continue
        report(
            {
                "event": "video",
                "entry": folder.name,
                "video": entry.request.video,
                "frames": len(masklets.frames),
                "objects": len(masklets.objects),
                "seconds": round(seconds, 3),
                "done": done,
                "total": len(waiting),
            }
        )
    return failures


def watch(cache_dir: Path, names: Sequence[str], seconds: float) -> Iterator[list[Path]]:
    """Yields entries not seen before, looking again every few seconds, for ever."""
    seen: set[Path] = set()
    while True:
        new = [folder for folder in find_entries(cache_dir, names) if folder not in seen]
        if new:
            yield new
            seen.update(new)
        else:
            time.sleep(seconds)


def _circumstances(identity: Mapping[str, str], seconds: float) -> dict[str, Any]:
    versions = {"python": platform.python_version()}
    for package in _RECORDED_PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {**identity, "versions": versions, "seconds": round(seconds, 3)}

"""Methods that a video keeps from an earlier record, where only others are to be computed.

A record says what each of its methods follows from by itself. Where that is the same, the method's
scores, steps, adapted student and predictions hold; what shows all methods together is made anew
from the predictions on disk.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from ditta_jax.errors import UserError
from ditta_jax.files import fault_of_files, unseal
from ditta_jax.names import file_name, kept_name
from ditta_jax.runs.record_faults import MasksNow
from ditta_jax.runs.video_record import VideoRecord


class TakenOver(NamedTuple):
    """What holds of an earlier record of a video.

    Attributes:
        folder: of the run's, or of what it set aside.
        record: the earlier one, of all methods that it has.
        methods: the names of those that hold.
        losses: their steps, as rows of losses.jsonl.
        shows_labels: whether anything is made of their label maps.
    """

    folder: Path
    record: VideoRecord
    methods: frozenset[str]
    losses: tuple[dict[str, Any], ...]
    shows_labels: bool

    def label(self, method: str, frame_name: str) -> UInt8[np.ndarray, "H W"]:
        """The label map that a method gave a frame.

        Raises:
            UserError: somebody took it away since the run began.
        """
        folder = self.folder / "predictions" / file_name(self.record.name) / method
        path = folder / kept_name(frame_name, ".png")
        try:
            with Image.open(path) as image:
                return np.asarray(image)
        except OSError as error:
            raise UserError(f"{path}: {error}; run the same command again") from error

    def student_folder(self, method: str) -> Path | None:
        """A method's adapted student; None where it has none."""
        folder = self.folder / "students" / file_name(self.record.name) / method
        return folder if folder.is_dir() else None


def taken_from(
    folder: Path,
    video: str,
    followed: Mapping[str, str],
    masks_now: MasksNow,
    students: bool,
    labels: bool,
) -> TakenOver | None:
    """The methods of an earlier record that hold; None where none does.

    Args:
        folder: of the run's, or of what it set aside.
        video: the video's name.
        followed: of each method, the digest of what it follows from.
        masks_now: the digest of the teacher's masks in an entry of the cache, by its name.
        students: whether adapted students are wanted.
        labels: whether anything is made of label maps.
    """
    name = file_name(video)
    try:
        content = unseal((folder / "videos" / f"{name}.json").read_bytes())
    except (OSError, ValueError):
        return None
    masks = content.get("masks", {})
    if any(masks_now(entry) != digest for entry, digest in masks.items()):
        return None
    if students and not content["asked"].get("tta.save"):
        return None
    files: dict[str, str] = content["files"]
    steps = f"losses/{name}.jsonl"
    if steps not in files or fault_of_files(folder, {steps: files[steps]}):
        return None
    before = content.get("followed", {})
    methods = frozenset(
        method
        for method, digest in followed.items()
        if before.get(method) == digest and _is_whole(folder, name, method, content, labels)
    )
    if not methods:
        return None
    rows = map(json.loads, (folder / steps).read_text().splitlines())
    losses = tuple(row for row in rows if row.get("method") in methods)
    return TakenOver(folder, VideoRecord.from_json(content), methods, losses, labels)


def _is_whole(
    folder: Path, name: str, method: str, content: Mapping[str, Any], labels: bool
) -> bool:
    """Whether all that a method wrote of a video is there as it was written."""
    files: dict[str, str] = content["files"]
    predictions = {f: d for f, d in files.items() if f.startswith(f"predictions/{name}/{method}/")}
    students = {f: d for f, d in files.items() if f.startswith(f"students/{name}/{method}/")}
    every_frame = len(predictions) == content["scored"]
    return (every_frame or not labels) and fault_of_files(folder, predictions | students) is None

"""The folder of a run, written so that an interrupted run goes on with the next video.

<run>/config.json                       the settings
<run>/videos/<video>.json               a finished video: its scores and seconds, checksummed
<run>/losses.jsonl                      one line per adaptation step
<run>/predictions/<video>/<frame>.png   palette PNGs, pixel value = class index
<run>/overlays/<video>/<frame>.png      pictures to look at
<run>/result.json                       all of it together, once every video is done
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ditta_jax.files import seal, unseal, write_atomically
from ditta_jax.names import file_name, kept_name
from ditta_jax.runs import results
from ditta_jax.runs.predictions import PredictionWriter
from ditta_jax.runs.video_record import VideoRecord

log = logging.getLogger(__name__)

# Settings that say where a run is kept or computed, and not what.
_WHERE = ("name", "output", "parallel")


class RunFolder:
    """Reads and writes the folder of one run.

    Args:
        path: the folder; made if missing.
        config: the settings as nested dicts of JSON values (`ConfigDict.to_dict()`).
        classes: names of the C classes.
        palette: RGB of each class.
        identity: what else the results depend on, such as a hash of the student's weights.
    """

    def __init__(
        self,
        path: str | Path,
        config: Mapping[str, Any],
        classes: Sequence[str],
        palette: Sequence[Sequence[int]],
        identity: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = Path(path)
        self.classes = tuple(classes)
        self._config = dict(config)
        self._palette = palette
        what = {key: value for key, value in config.items() if key not in _WHERE}
        self.key = _hash({"config": what, "classes": self.classes, "identity": identity or {}})
        self._losses = self.path / "losses.jsonl"
        self._videos_with_losses = _drop_torn_line(self._losses)
        write_atomically(self.path / "config.json", _json(self._config))

    def load_finished(self, video: str, video_key: str = "") -> VideoRecord | None:
        """The record of a video this run has finished, or None.

        Args:
            video: the video's name.
            video_key: a hash of what is in the video, if the caller has one.
        """
        path = self._record(video)
        try:
            content = unseal(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            log.warning("%s: %s; computing the video again", path, error)
            return None
        if content.get("key") != self._record_key(video, video_key):
            log.warning("%s: from other settings or other frames; computing the video again", path)
            return None
        return VideoRecord.from_json(content)

    def save_finished(self, record: VideoRecord, video_key: str = "") -> None:
        """Mark a video as done; call it last, after its predictions and losses are written."""
        content = record.to_json() | {"key": self._record_key(record.name, video_key)}
        write_atomically(self._record(record.name), seal(content))

    def prediction_writer(self, video: str) -> PredictionWriter:
        """A writer of the video's predictions: `with … as writer: writer.write(frame, map)`."""
        return PredictionWriter(self.path / "predictions" / file_name(video), self._palette)

    def overlay_file(self, video: str, frame_name: str) -> Path:
        """Where the overlay of a frame goes."""
        return self.path / "overlays" / file_name(video) / kept_name(frame_name, ".png")

    def append_losses(self, video: str, rows: Iterable[Mapping[str, float | None]]) -> None:
        """Add the video's steps to losses.jsonl, in place of those of an earlier, lost attempt.

        Args:
            video: the video's name.
            rows: one mapping per step: pass, frame, distill, distill_fused, contrast, total.
                A term that does not exist is NaN or None, and null in the file.
        """
        if video in self._videos_with_losses:
            lines = self._losses.read_text().splitlines(keepends=True)
            kept = [line for line in lines if json.loads(line)["video"] != video]
            write_atomically(self._losses, "".join(kept).encode())
        self._videos_with_losses.add(video)
        with open(self._losses, "a") as file:
            for row in rows:
                file.write(json.dumps({"video": video} | results.without_nan(row)) + "\n")

    def write_result(self, records: Sequence[VideoRecord]) -> dict[str, Any]:
        """Write result.json from the records of all videos; returns its content."""
        result = results.result(records, self.classes, self._config)
        write_atomically(self.path / "result.json", _json(result))
        return result

    def _record(self, video: str) -> Path:
        return self.path / "videos" / f"{file_name(video)}.json"

    def _record_key(self, video: str, video_key: str) -> str:
        return _hash([self.key, video, video_key])


def _drop_torn_line(path: Path) -> set[str]:
    """Cut off a last line that an interrupted run left half-written; names of the videos kept."""
    if not path.is_file():
        return set()
    videos, whole = set(), []
    for line in path.read_text(errors="replace").splitlines(keepends=True):
        try:
            videos.add(json.loads(line)["video"])
        except (ValueError, KeyError, TypeError):
            continue
        if line.endswith("\n"):
            whole.append(line)
    write_atomically(path, "".join(whole).encode())
    return videos


def _hash(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _json(content: Any) -> bytes:
    return (json.dumps(results.without_nan(content), indent=2) + "\n").encode()

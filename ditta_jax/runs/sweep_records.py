"""What a sweep has finished, one sealed file per video and setting, so that it goes on there.

<folder>/<video>/<key>.json    scores under one setting, and what they follow from

Two sweeps with other grids share what is in both, and nothing else.
"""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ditta_jax.files import seal, unseal, write_atomically
from ditta_jax.metrics.scores import Scores
from ditta_jax.names import file_name
from ditta_jax.runs import record_key

log = logging.getLogger(__name__)


class Swept(NamedTuple):
    """A video under one setting.

    Attributes:
        scores: the sums that its scores follow from.
        kept_frozen: why it keeps the frozen student's labels; None where it does not.
    """

    scores: Scores
    kept_frozen: str | None = None


class SweepRecords:
    """The finished videos and settings of sweeps under one name.

    Args:
        folder: made with the first record.
        masks_now: the digest of the teacher's masks in an entry of the cache, by its name; None
            where they are no longer there.
    """

    def __init__(
        self, folder: Path, masks_now: Callable[[str], str | None] = lambda entry: None
    ) -> None:
        self._folder = folder
        self._masks_now = masks_now

    def load(self, video: str, parts: Mapping[str, Any]) -> Swept | None:
        """What was kept under exactly these parts; None if nothing whole is there.

        Args:
            video: the video's name.
            parts: what the result follows from (`record_key`), the setting among them.
        """
        path = self._file(video, parts)
        try:
            content = unseal(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            log.warning("%s: %s; computed again", path, error)
            return None
        masks = content["masks"]
        if masks and self._masks_now(masks["entry"]) not in (None, masks["digest"]):
            log.warning("%s: computed again: the teacher's masks changed", video)
            return None
        return Swept(Scores.from_json(content["scores"]), content["kept_frozen"])

    def save(
        self, video: str, parts: Mapping[str, Any], swept: Swept, entry: str | None = None
    ) -> None:
        """Keep a video's result under one setting; `entry` names the teacher's in the cache."""
        digest = self._masks_now(entry) if entry else None
        content = {
            "parts": record_key.plain(parts),
            "masks": {"entry": entry, "digest": digest} if digest else {},
            "scores": swept.scores.to_json(),
            "kept_frozen": swept.kept_frozen,
        }
        write_atomically(self._file(video, parts), seal(content))

    def _file(self, video: str, parts: Mapping[str, Any]) -> Path:
        key = record_key.digest(record_key.plain(parts))
        return self._folder / file_name(video) / f"{key}.json"

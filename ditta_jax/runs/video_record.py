"""What is kept of a finished video."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ditta_jax.metrics.scores import Scores


class VideoRecord(NamedTuple):
    """A finished video.

    Attributes:
        name: the video's name.
        size: (H, W), pixels.
        frames: T.
        warmup: T_w, frames adapted on.
        scored: frames scored.
        seconds: wall-clock time per stage.
        scores: per method, the sums its scores follow from; empty without a ground truth.
        methods: per method, as JSON values: `preparation_seconds` and `frames_per_second`, both
            with results ready and without `compile_seconds`; `peak_bytes`, most memory held while
            it learnt (null: not known); `teacher_seconds`, those of the teacher, now or when it was
            asked (null: not known); `kept_frozen`, why the video keeps the frozen student's labels
            (else null); `protocol`; and what the method itself tells.
        details: whatever else is worth keeping (objects, teacher), as JSON values.
        timeline: when student and teacher worked on it (`timeline.Timeline.of`); empty in records
            that are older than it.
    """

    name: str
    size: tuple[int, int]
    frames: int
    warmup: int
    scored: int
    seconds: dict[str, float]
    scores: dict[str, Scores]
    methods: dict[str, dict[str, Any]]
    details: dict[str, Any]
    timeline: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The record as JSON values; `from_json` gives back the same bits."""
        scores = {method: sums.to_json() for method, sums in self.scores.items()}
        return self._asdict() | {"scores": scores}

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> "VideoRecord":
        """The inverse of `to_json`; other keys are left alone."""
        values = {"timeline": {}} | {f: content[f] for f in VideoRecord._fields if f in content}
        values["size"] = tuple(values["size"])
        values["scores"] = {m: Scores.from_json(sums) for m, sums in values["scores"].items()}
        return VideoRecord(**values)

"""What exactly determines the result of a video, part by part, and how two such keys differ.

A finished video is used again as long as every part is the same. Parts have names, so that a run
can say why it computes a video again. Where things lie, how many work at once and what is drawn is
no part; what a path leads to counts by its content.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ditta_jax.data.video import Video

FORMAT = 2  # raised when records themselves, or what all methods share, change their meaning

# Sections and settings without effect on results, or that act through what is a part by content:
# the student's weights, frames and labels of the video, the teacher's masks.
_NO_PART = {
    *("name", "output", "parallel", "report", "train", "profile", "compare"),
    *("student", "data", "classes", "palette", "methods", "warmup"),
    "tta.save",
}
_OF_TEACHER = {"threshold_first", "threshold_later", "max_objects"}  # what it is asked


def settings_parts(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that change results: `section.key` → value.

    Args:
        config: the settings as nested dicts (`ConfigDict.to_dict()`).
    """
    parts = {}
    for name, value in _flat(config):
        section, _, key = name.partition(".")
        if section in _NO_PART or name in _NO_PART:
            continue
        if section != "teacher" or key in _OF_TEACHER:
            parts[name] = value
    return parts


def video_parts(video: Video, warmup: int, first_scored: int) -> dict[str, Any]:
    """What the video itself gives: its frames, the truth it is scored with, where it is cut.

    Args:
        video: the video; its frames are read, not decoded.
        warmup: T_w, frames adapted on.
        first_scored: index of the first frame of stage D.
    """
    truth = None if video.labels is None else video.labels.digest(first_scored)
    return {
        "video": video.name,
        "the frames": video.frames.digest(),
        "the ground truth": truth,
        "warm-up frames": warmup,
        "first scored frame": first_scored,
    }


def plain(parts: Mapping[str, Any]) -> dict[str, Any]:
    """The parts as they come back from JSON: tuples are lists there."""
    return dict(json.loads(json.dumps(parts, default=str)))


def digest(content: Any) -> str:
    """SHA-256 of JSON values, for parts too long to be read."""
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What changed, as a person reads it: "tta.lr 0.001 → 0.0003; the frames changed"."""
    told = []
    for name in dict.fromkeys([*now, *before]):
        if name not in before:
            told.append(f"{name} is new")
        elif name not in now:
            told.append(f"{name} is gone")
        elif before[name] != now[name]:
            told.append(_change(name, before[name], now[name]))
    return "; ".join(told)


def _change(name: str, before: Any, now: Any) -> str:
    if any(
        isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) for value in (before, now)
    ):
        return f"{name} changed"
    return f"{name} {_short(before)} → {_short(now)}"


def _short(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value

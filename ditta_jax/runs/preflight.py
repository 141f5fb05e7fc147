"""Everything about the videos that can be known before any work is done.

Headers of all frames and masks are read, and the values of some masks; of video files, all frames
were decoded when they were opened. A fault of one video does not keep the others from being done.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ditta_jax.data.video import Video, Videos
from ditta_jax.errors import UserError

_SHOWN = 3  # faults of one video that are told in full


class Preview(NamedTuple):
    """What is known of a video.

    Attributes:
        name: of the video.
        size: (H, W); (0, 0) where it does not open.
        frames: T.
        warm_up: T_w.
        scored: frames that stage D segments.
        labelled: of them, those with a ground truth.
        faults: why it cannot be done, a line each; empty if it can.
        warnings: what a person has to know of it.
    """

    name: str
    size: tuple[int, int]
    frames: int
    warm_up: int
    scored: int
    labelled: int
    faults: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def message(self) -> str:
        """The faults as one line."""
        more = len(self.faults) - _SHOWN
        return "; ".join(self.faults[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def look_at(
    videos: Videos,
    split: Callable[[int], tuple[int, int]],
    windows: Sequence[int] = (),
    advance: Callable[[str], object] = lambda name: None,
) -> list[Preview]:
    """Look at every video.

    Args:
        videos: opened one by one.
        split: from the number of frames to the length of the warm-up and the first scored frame.
        windows: lengths n of mVC_n, to say which a video is too short for.
        advance: told of each video that was looked at.
    """
    previews = []
    for index, name in enumerate(videos.names):
        try:
            previews.append(look(videos[index], split, windows))
        except UserError as error:
            previews.append(Preview(name, (0, 0), 0, 0, 0, 0, (str(error),), ()))
        advance(name)
    return previews


def look(
    video: Video, split: Callable[[int], tuple[int, int]], windows: Sequence[int] = ()
) -> Preview:
    """Look at one video; see `look_at`."""
    T = len(video.frames)
    warm_up, first = split(T)
    scored = range(first, T)
    faults = list(video.frames.faults())
    labelled = 0
    if video.labels is not None:
        faults += video.labels.faults()
        labelled = sum(map(video.labels.labelled, scored))
    if not scored:
        faults.append(f"{video.name}: {T} frames, all of them warm-up; nothing is left to score")
    warnings = (*video.warnings, *unscored(video, first, windows))
    return Preview(
        video.name, video.size, T, warm_up, len(scored), labelled, tuple(faults), warnings
    )


def unscored(video: Video, first: int, windows: Sequence[int]) -> list[str]:
    """What of a video's scores there will not be although it has labels, a line each.

    Args:
        video: the video.
        first: index of the first scored frame.
        windows: lengths n of mVC_n.
    """
    scored = range(first, len(video.frames))
    if video.labels is None or not scored:
        return []
    labelled = sum(map(video.labels.labelled, scored))
    if labelled == 0:
        return [f"{video.name}: none of its {len(scored)} scored frames has labels"]
    short = [n for n in windows if len(scored) <= n]  # a window counts once a frame follows it
    if labelled < len(scored) or not short:
        return []
    names = " and ".join(f"mVC{n}" for n in short)
    return [f"{video.name}: {len(scored)} scored frames are too few for {names}"]

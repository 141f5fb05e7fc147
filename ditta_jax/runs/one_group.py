"""Stages A to D on a group of videos, in order: what a run does with each of them."""

from collections.abc import Iterator, Mapping, Sequence

from ditta_jax.data.video import Video
from ditta_jax.runs import teaching
from ditta_jax.runs.failures import Failures
from ditta_jax.runs.progress import RunProgress
from ditta_jax.runs.taken_over import TakenOver
from ditta_jax.runs.teaching import Entries
from ditta_jax.runs.video_record import VideoRecord
from ditta_jax.runs.video_work import VideoWork, in_turn, prepare_group, segment_group, stage
from ditta_jax.runs.warm_ups import WarmUps
from ditta_jax.runs.work import Work


def adapt_group(
    work: Work,
    group: Sequence[Video],
    entries: Mapping[str, Entries],
    taken: Mapping[str, TakenOver | None],
    warm_ups: WarmUps,
    failures: Failures,
    progress: RunProgress,
) -> Iterator[VideoRecord]:
    """Adapt to videos of one size and segment the rest of each; yields their records.

    One video at a time but for C, and for D where there are several devices. The features of all
    are held at once, from A to the end of C.

    Args:
        work: what all videos share.
        group: videos of one size, of which the same methods are computed.
        entries: of the videos that the teacher was asked about, in its cache.
        taken: of the videos, methods that need not be computed; None: none.
        warm_ups: stage A's results of these videos.
        failures: told of videos that cannot be done.
        progress: told of each stage.
    """
    # ------------------------------------------------------------------ A: frozen student
    videos: list[VideoWork] = []
    for video in group:
        with failures.of(video.name):
            own = VideoWork(work, video, taken[video.name])
            warm_up = teaching.label_once(work, video, warm_ups, progress)

            # ---------------------------------------------------------- B: the teacher's masks
            with stage(work, "B", [own]):
                own.learn_from(warm_up, entries.get(video.name))
            videos.append(own)

    # ------------------------------------------------------------------ C: adaptation
    for method in videos[0].methods.values() if videos else ():
        with progress.stage(f"C: {method.title}"):
            prepare_group(work, method, videos, failures)
            videos = [own for own in videos if own.name not in failures]
    for own in videos:
        own.keep_what_was_learnt()

    # ------------------------------------------------------------------ D: inference, metrics
    for turn in in_turn(work, videos):
        steps = sum(own.frames_to_score() for own in turn)
        name = turn[0].name if len(turn) == 1 else None
        with stage(work, "D", turn), progress.stage("D: segmentation", steps, name) as advance:
            segment_group(work, turn, failures, advance)
        for own in turn:
            if own.name not in failures:
                yield own.record()

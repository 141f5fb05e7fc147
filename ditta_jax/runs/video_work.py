"""The work on one video of a run, from stage A's warm-up to its record."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import jax
import numpy as np
from jaxtyping import UInt8

from ditta_jax.algorithm.model import adapted_student
from ditta_jax.algorithm.video_mesh import devices_of
from ditta_jax.data.video import Video
from ditta_jax.errors import UserError, WriteError
from ditta_jax.methods.protocol import Method, Prepared, WarmUp
from ditta_jax.metrics.scores import Scores, VideoScores
from ditta_jax.runs import memory, overlays, preflight, teaching
from ditta_jax.runs.clock import Clock
from ditta_jax.runs.failures import Failures
from ditta_jax.runs.placement import DefaultDevice, OverDevices
from ditta_jax.runs.segmentation import FROZEN, Clocks, Rest, Segmented, score, segment_videos
from ditta_jax.runs.showing import film_of, showing_of
from ditta_jax.runs.taken_over import TakenOver
from ditta_jax.runs.video_record import VideoRecord
from ditta_jax.runs.work import Work
from ditta_jax.students import checkpoint

Labels = dict[str, UInt8[np.ndarray, "H W"]]  # a frame's label map of each method


class VideoWork:
    """One video on its way through the stages.

    Args:
        work: of the run.
        video: the video.
        taken: methods of an earlier run of which the results hold; None: none.

    Attributes:
        methods: those that are computed.
    """

    def __init__(self, work: Work, video: Video, taken: TakenOver | None = None) -> None:
        self.name, self.size = video.name, video.size
        known = taken.methods if taken is not None else frozenset()
        self.methods = {name: own for name, own in work.methods.items() if name not in known}
        self.prepared: dict[str, Prepared] = {}
        self.preparation = {name: Clock() for name in self.methods}
        self.peak_bytes: dict[str, int | None] = {}
        self._work = work
        self._video = video
        self._taken = taken
        self._seconds = dict.fromkeys("ABCD", 0.0)
        self._inference = Clocks(list(self.methods.values()))
        self._scores: dict[str, Scores] = {}
        self._details: dict = {}

    def add_seconds(self, stage: str, seconds: float) -> None:
        """Add to the wall-clock time of a stage."""
        self._seconds[stage] += seconds

    # ------------------------------------------------------------------------ B, C

    def learn_from(self, warm_up: WarmUp, entries: teaching.Entries | None) -> None:
        """Take stage A's result, and the teacher's masks from its entries in the cache."""
        masks = teaching.masks_of(self._work, self._video, warm_up, entries)
        trained = self._work.trained
        self.warm_up = warm_up._replace(masks=masks, trained=trained and trained.network)
        self._seconds["A"] = warm_up.seconds
        self._details |= teaching.details_of(masks)
        self._teacher = {name: teaching.seconds_of(masks, m) for name, m in self.methods.items()}
        self._film = film_of(self._work, self._video, self.warm_up)

    def keep_what_was_learnt(self) -> None:
        """Write losses and adapted students; features are no longer needed."""
        before = self._taken.losses if self._taken is not None else ()
        rows: list[Mapping[str, Any]] = []
        for name in self._work.methods:
            rows += [row for row in before if row["method"] == name]
            if name in self.prepared:
                rows += [{"method": name} | dict(row) for row in self.prepared[name].losses]
        self._work.run.write_losses(self.name, rows)
        if self._work.config.tta.save:
            for name in self._work.methods:
                self._save_student(name)
        self._warm_up_frames = len(self.warm_up.labels)
        del self.warm_up

    def _save_student(self, method: str) -> None:
        work, taken = self._work, self._taken
        path = work.run.student_folder(self.name, method)
        if taken is not None and method in taken.methods:
            if (earlier := taken.student_folder(method)) is not None:
                checkpoint.save(path, *checkpoint.load(earlier))
            return
        prepared = self.prepared[method]
        if prepared.network is None or prepared.kept_frozen is not None:
            return
        card = work.card._replace(
            classes=work.classes,
            palette=work.palette,
            source={**work.card.source, "adapted": {"method": method, "video": self.name}},
        )
        checkpoint.save(path, adapted_student(work.student, prepared.network), card)

    # ------------------------------------------------------------------------ D

    def frames_to_score(self) -> int:
        """How many there are."""
        return len(self._video.frames) - self._work.first_scored(self._video)

    def rest(self) -> Rest:
        """What stage D is to do."""
        counting = None
        if self._video.labels is not None:
            counting = self._work.scoring.counting(self._work.config.metrics.windows)
        first, video = self._work.first_scored(self._video), self._video
        return Rest(self.prepared, video.frames, first, self._inference, video.labels, counting)

    @contextmanager
    def segmentation(self) -> Iterator[Callable[[Segmented], None]]:
        """Predictions, pictures to look at, scores where there is a ground truth.

        The body hands over every frame out of stage D, in order.
        """
        work, video = self._work, self._video
        scores: dict[str, VideoScores] = {}
        if video.labels is not None:
            windows = tuple(work.config.metrics.windows)
            scores = {name: work.scoring.start(windows) for name in self.methods}
        first = work.first_scored(video)
        shown = overlays.chosen_frames(first, len(video.frames), work.config.report.overlays)
        showing = showing_of(work, video.name, self._film)

        def take(out: Segmented) -> None:
            for name, own in scores.items():
                score(own, out, name)
            frame_name = video.frames.frame_name(out.index)
            out = out._replace(labels=self._of_all_methods(out.labels, frame_name))
            if work.config.report.predictions:
                for name, label in out.labels.items():
                    writer.write(frame_name, label, name)
            comparable = out.truth if work.scoring.table is None else None  # the same classes
            showing.frame(out.index, out.frame, out.labels, comparable)
            if out.index in shown:
                self._draw(out, frame_name, comparable)

        with work.run.prediction_writer(video.name) as writer, showing:
            yield take
        found = {name: own.finish() for name, own in scores.items()}
        found |= self._taken.record.scores if self._taken is not None else {}
        self._scores = {name: found[name] for name in work.methods if name in found}

    def _of_all_methods(self, labels: Labels, frame_name: str) -> Labels:
        """The label maps of a frame with those that an earlier run has of it, where they show."""
        if self._taken is None or not self._taken.shows_labels:
            return labels
        known = {name: self._taken.label(name, frame_name) for name in self._taken.methods}
        return {name: (known | labels)[name] for name in self._work.methods}

    def _draw(
        self, out: Segmented, frame_name: str, truth: UInt8[np.ndarray, "H W"] | None
    ) -> None:
        work = self._work
        panels = {} if truth is None else {"ground truth": truth}
        panels |= {work.methods[name].title: label for name, label in out.labels.items()}
        file = work.run.overlay_file(self.name, frame_name)
        overlays.write_overlay(file, out.frame, panels, work.classes, work.palette)

    def record(self) -> VideoRecord:
        """What is kept of the video, once it went through all stages."""
        return VideoRecord(
            name=self.name,
            size=self._video.size,
            frames=len(self._video.frames),
            warmup=self._warm_up_frames,
            scored=self.frames_to_score(),
            seconds=self._seconds,
            scores=self._scores,
            methods={name: self._told(name) for name in self._work.methods},
            details=self._details | self._warnings() | self._earlier(),
            timeline=self._work.timeline.of(self.name),
        )

    def _warnings(self) -> dict[str, list[str]]:
        """What a person has to know of the video, where there is anything."""
        work, windows = self._work, tuple(self._work.config.metrics.windows)
        first = work.first_scored(self._video)
        said = [*self._video.warnings, *preflight.unscored(self._video, first, windows)]
        return {"warnings": said} if said else {}

    def _earlier(self) -> dict[str, list[str]]:
        """Which methods an earlier run has computed; the seconds of stages are without them."""
        if self._taken is None:
            return {}
        return {"taken_over": [name for name in self._work.methods if name not in self.methods]}

    def _told(self, name: str) -> dict:
        if self._taken is not None and name in self._taken.methods:
            return self._taken.record.methods[name]
        method = self.methods[name]
        prepared, preparation = self.prepared[name], self.preparation[name]
        at_work = name if prepared.kept_frozen is None else FROZEN
        inference = self._inference.methods[at_work]
        online = method.can_learn_along and self._work.settings.protocol == "online"
        return {
            "preparation_seconds": preparation.seconds,
            "teacher_seconds": self._teacher[name],
            "frames_per_second": self._inference.frames_per_second(at_work),
            "peak_bytes": self.peak_bytes.get(name),
            "compile_seconds": preparation.compiling + inference.compiling,
            "protocol": "online" if online else "freeze",
            "kept_frozen": prepared.kept_frozen,
            **prepared.details,
        }


@contextmanager
def stage(work: Work, name: str, videos: Sequence[VideoWork]) -> Iterator[None]:
    """Divide the wall-clock time of the body, which is a stage of these videos, among them."""
    start = time.perf_counter()
    with work.timeline.student(name, *(own.name for own in videos)):
        yield
    each = (time.perf_counter() - start) / len(videos)
    for own in videos:
        own.add_seconds(name, each)


# ---------------------------------------------------------------------------- videos together


def prepare_group(
    work: Work, method: Method, videos: Sequence[VideoWork], failures: Failures
) -> None:
    """Stage C of one method on videos of one size; its time is divided among them."""
    if len(videos) == 1:
        with failures.of(videos[0].name):
            _prepare(work, method, videos)
    elif videos:
        try:
            with memory.told_if_short():
                _prepare(work, method, videos)
        except WriteError:
            raise
        except UserError:  # of one of them
            for own in videos:
                prepare_group(work, method, [own], failures)


def _prepare(work: Work, method: Method, videos: Sequence[VideoWork]) -> None:
    clock, side_by_side = Clock(), work.config.parallel.videos
    in_time = work.timeline.student("C", *(own.name for own in videos))
    with in_time, memory.watched() as peak, clock.running():
        warm_ups = [own.warm_up for own in videos]
        found = method.prepare_many(work.model, warm_ups, work.settings, side_by_side)
        jax.block_until_ready([prepared.state for prepared in found])
    for own, prepared in zip(videos, found, strict=True):
        own.prepared[method.name] = prepared
        own.preparation[method.name].add(clock, len(videos))
        own.peak_bytes[method.name] = peak.bytes
        own.add_seconds("C", (clock.seconds + clock.compiling) / len(videos))


def in_turn(work: Work, videos: Sequence[VideoWork]) -> list[list[VideoWork]]:
    """Which videos of a group stage D segments at once: all, where each can have a device."""
    several = len(devices_of(work.config.parallel.videos)) > 1 and len(videos) > 1
    return [list(videos)] if several else [[own] for own in videos]


def segment_group(
    work: Work, videos: Sequence[VideoWork], failures: Failures, advance: Callable[[], object]
) -> None:
    """Stage D of videos of one size.

    Args:
        work: of the run.
        videos: of `in_turn`; the same methods are computed for all of them.
        failures: told of videos that cannot be done; the others go on.
        advance: called after each frame.
    """
    place = (
        DefaultDevice(work.model)
        if len(videos) == 1
        else OverDevices(work.model, devices_of(work.config.parallel.videos))
    )
    methods, size = list(videos[0].methods.values()), videos[0].size
    with ExitStack() as stack:
        ends = [stack.enter_context(ExitStack()) for _ in videos]
        takes = [
            end.enter_context(own.segmentation()) for own, end in zip(videos, ends, strict=True)
        ]
        rests = [own.rest() for own in videos]
        for v, out in segment_videos(work.model, methods, rests, size, work.settings, place):
            if all(own.name in failures for own in videos):
                break
            if videos[v].name in failures:
                continue
            with failures.of(videos[v].name), _open_if_well(ends[v]):
                if isinstance(out, UserError):
                    raise out
                takes[v](out)
                advance()
        for own, end in zip(videos, ends, strict=True):
            with failures.of(own.name):
                end.close()


@contextmanager
def _open_if_well(end: ExitStack) -> Iterator[None]:
    """Close what a video has open once the body fails, as an error in its own body would."""
    try:
        yield
    except Exception as error:  # too little memory is no UserError yet
        end.__exit__(type(error), error, error.__traceback__)
        raise

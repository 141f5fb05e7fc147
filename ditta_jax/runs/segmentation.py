"""Stage D between frames and label maps: one video, or several of one size side by side."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import PyTree, UInt8

from ditta_jax.algorithm import inference, precision
from ditta_jax.algorithm.model import Model
from ditta_jax.algorithm.settings import Settings
from ditta_jax.data.prefetch import Frames, Labels, Seen, ahead, inputs
from ditta_jax.data.preprocess import input_size
from ditta_jax.errors import UserError, WriteError
from ditta_jax.methods import registry
from ditta_jax.methods.protocol import Fixed, Frame, Method, Prepared
from ditta_jax.metrics.counts import Counting, Runs, no_runs, truth_of
from ditta_jax.metrics.scores import FrameCounts, VideoScores
from ditta_jax.runs import stages
from ditta_jax.runs.clock import Clock
from ditta_jax.runs.placement import DefaultDevice, Placement
from ditta_jax.students.platform import platform

FROZEN = "frozen"


class Segmented(NamedTuple):
    """One frame out of stage D.

    Attributes:
        index: of the frame.
        frame: itself.
        labels: each method's label map by name.
        truth: its ground truth, where the video has one for it.
        counts: what each method's labels add to the scores, by name, with the labels' leading K;
            None where the host counts (`score` sees to both).
    """

    index: int  # type: ignore[assignment]  # mypy: a tuple has a method of that name
    frame: UInt8[np.ndarray, "H W 3"]
    labels: dict[str, UInt8[np.ndarray, "*K H W"]]
    truth: UInt8[np.ndarray, "H W"] | None = None
    counts: dict[str, FrameCounts] | None = None


def score(scores: VideoScores, out: Segmented, method: str, setting: int | None = None) -> None:
    """Count a frame by what the device counted of a method's labels, or else by these.

    Args:
        scores: of the method on this video.
        out: the frame.
        method: name.
        setting: which of K, where its labels have a leading K.
    """
    pick = () if setting is None else setting
    if out.counts is None:
        scores.update(out.labels[method][pick], out.truth)
    elif out.truth is None:
        scores.add(None)
    else:
        scores.add(FrameCounts(*(x[pick] for x in out.counts[method])))


class Clocks:
    """What stage D takes.

    Attributes:
        encoder: seconds of the encoder that methods share.
        methods: seconds of each method's own part, by name.
        frames: that were computed, those that fill up the last chunk included.
    """

    def __init__(self, methods: Sequence[Method]) -> None:
        self.encoder = Clock()
        self.methods = {name: Clock() for name in (FROZEN, *(m.name for m in methods))}
        self.frames = 0

    def frames_per_second(self, method: str) -> float | None:
        """Speed of a method by itself: the shared encoder and its own part.

        Of videos side by side each is told its share of the time, so it is the speed of all
        devices together.
        """
        seconds = self.encoder.seconds + self.methods[method].seconds
        return self.frames / seconds if seconds > 0 else None


class Rest(NamedTuple):
    """What stage D is to do of a video.

    Attributes:
        prepared: what each method knows, by name.
        frames: of the whole video.
        first: index of the frame to begin with.
        clocks: run while it works.
        labels: ground truth of the frames, where there is one.
        counting: what scores are counted of; None for none. Of all videos it is the same.
    """

    prepared: Mapping[str, Prepared]
    frames: Frames
    first: int
    clocks: Clocks
    labels: Labels | None = None
    counting: Counting | None = None


def segment_rest(
    model: Model,
    methods: Sequence[Method],
    rest: Rest,
    size: tuple[int, int],
    settings: Settings,
    several: Sequence[str] = (),
) -> Iterator[Segmented]:
    """Stage D of one video: labels of the rest of its frames, in order, by every method.

    Args:
        model: the pre-trained student.
        methods: with names of their own.
        rest: of the video.
        size: (H, W) of each frame.
        settings: of all stages.
        several: methods whose states have a leading K; so have their labels then.

    Raises:
        UserError: a frame does not decode, or a method's output is not finite.
    """
    place = DefaultDevice(model, several)
    for _, out in segment_videos(model, methods, [rest], size, settings, place):
        if isinstance(out, UserError):
            raise out
        yield out


def segment_videos(
    model: Model,
    methods: Sequence[Method],
    rests: Sequence[Rest],
    size: tuple[int, int],
    settings: Settings,
    place: Placement,
) -> Iterator[tuple[int, Segmented | UserError]]:
    """Stage D of videos of one size, a chunk of frames of each at once.

    Decoding and resizing run ahead in one thread a video, the network in another, so that the
    caller's work on a chunk of frames and the computation of the next one overlap. The encoder
    sees each frame once. A method that keeps the frozen student's labels is given those.

    Args:
        model: as in `segment_rest`.
        methods: as in `segment_rest`.
        rests: of the videos.
        size: as in `segment_rest`.
        settings: as in `segment_rest`.
        place: that takes as many videos.

    Yields:
        the video's place in the list, and its next frame; or why there are no more of it. Frames
        of a video are in order.
    """
    wanted = [rest.counting for rest in rests if rest.counting is not None]
    counting = wanted[0] if wanted and _counts_on_device() else None

    def found() -> Iterator[list[tuple[int, Segmented | UserError]]]:
        with precision.policy(settings.compute, settings.matmul):  # it is each thread's own
            side_by_side = _SideBySide(model, methods, rests, size, settings, place, counting)
            yield from side_by_side.chunks()

    for chunk in ahead(found, depth=1):
        yield from chunk


def _counts_on_device() -> bool:
    """Whether the device counts for the scores: on a CPU numpy does it sooner, beside it."""
    return platform() != "cpu"


class _Batch(NamedTuple):
    """What a chunk of a video brings to the device.

    Attributes:
        images: UInt8["CHUNK Hi Wi 3"].
        own: what methods ask for, by name.
        truth: `counts.Truth`; None where nothing is counted.
    """

    images: Any
    own: dict[str, PyTree]
    truth: Any


class _SideBySide:
    """Stage D under way; arguments are those of `segment_videos`, and what the device counts."""

    def __init__(self, model, methods, rests, size, settings, place, counting) -> None:
        self._model, self._methods, self._rests, self._place = model, methods, rests, place
        self._size, self._counting = size, counting
        self._fixed = Fixed(
            size,
            input_size(size, settings.scale, settings.divisor),
            settings.threshold,
            settings.protocol == "online",
        )
        self._at_work = _at_work(methods, rests)
        self._prepared = [{FROZEN: Prepared(())} | dict(rest.prepared) for rest in rests]
        # arrays of their own: they are donated, and what is prepared may be wanted again
        self._states = {
            name: place.put([own[name].state for own in self._prepared]) for name in self._at_work
        }
        self._runs: dict[str, Runs] = {}
        scaled = settings.scale, settings.divisor
        self._readers = {
            v: stages.chunks(
                inputs(rest.frames, *scaled, start=rest.first, labels=rest.labels), stages.CHUNK
            )
            for v, rest in enumerate(rests)
        }

    def chunks(self) -> Iterator[list[tuple[int, Segmented | UserError]]]:
        """What is found of a chunk of every video, until no video has another."""
        while self._readers:
            out: list[tuple[int, Segmented | UserError]] = []
            chunks, batches = {}, {}
            for v in list(self._readers):
                with self._ending_with_error(v, out):
                    chunk = next(self._readers[v], None)
                    if chunk is None:
                        del self._readers[v]
                    else:
                        chunks[v], batches[v] = chunk, self._batch(v, chunk)
            if batches:
                labels, counts = self._compute(batches)
            for v, chunk in chunks.items():
                with self._ending_with_error(v, out):
                    out += [(v, own) for own in self._told(v, chunk, labels, counts)]
            yield out

    @contextmanager
    def _ending_with_error(self, v: int, out: list) -> Iterator[None]:
        """A `UserError` in the body is the end of a video; the others go on."""
        try:
            yield
        except WriteError:
            raise
        except UserError as error:
            del self._readers[v]
            out.append((v, error))

    def _batch(self, v: int, chunk: list[Seen]) -> _Batch:
        """A chunk of a video, filled up."""
        own = {}
        for name in self._at_work:
            make = self._prepared[v][name].frame_inputs
            if make is not None:
                found = [make(seen.index) for seen in chunk]
                found += found[-1:] * (stages.CHUNK - len(found))
                own[name] = jax.tree.map(lambda *x: np.stack(x), *found)
        truth, counting = None, self._counting
        if counting is not None:
            maps = [seen.truth for seen in chunk]
            truth = truth_of(maps, stages.CHUNK, self._size, counting.num_classes)
        return _Batch(stages.stacked(chunk, stages.CHUNK), own, truth)

    def _compute(self, batches: Mapping[int, _Batch]) -> tuple[dict, dict]:
        """Labels and counts of a chunk of every video, by method and place in the list."""
        model, place, count = self._model, self._place, len(self._rests)
        blank = jax.tree.map(np.zeros_like, next(iter(batches.values())))  # of ended videos
        batch = place.put([batches.get(v, blank) for v in range(count)])
        images = inference.normalised(batch.images, model.compute)
        clocks = [self._rests[v].clocks for v in batches]
        with _running([own.encoder for own in clocks]), jax.transfer_guard("disallow"):
            features = place.encode(images)
            jax.block_until_ready(features)
        for own in clocks:
            own.frames += stages.CHUNK
        labels, counts = {}, {}
        for name, method in self._at_work.items():
            frames = Frame(features, images, batch.own.get(name))
            # all that the scan needs is on the device
            with _running([c.methods[name] for c in clocks]), jax.transfer_guard("disallow"):
                state = self._states[name]
                self._states[name], maps = place.label(method, state, frames, self._fixed)
                jax.block_until_ready(maps)
            labels[name] = place.fetch(maps, count)
            if self._counting is not None:
                if name not in self._runs:
                    self._runs[name] = place.put([no_runs(labels[name][0].shape[1:])] * count)
                with jax.transfer_guard("disallow"):
                    self._runs[name], found = place.count(
                        self._runs[name], maps, batch.truth, self._counting
                    )
                counts[name] = place.fetch(found, count)
        return labels, counts

    def _told(
        self, v: int, chunk: list[Seen], labels: Mapping[str, list], counts: Mapping[str, list]
    ) -> list[Segmented]:
        """What is found of a video's chunk, frame by frame."""
        of = {m.name: _computed_as(m.name, self._rests[v]) for m in self._methods}
        for name in dict.fromkeys(of.values()):
            maps = labels[name][v]
            if maps.ndim == 3:  # a sweep knows which setting went wrong
                title = self._at_work[name].title
                for seen, label in zip(chunk, maps, strict=False):
                    what = f"the output of {title} on frame {seen.index}"
                    stages.check_finite(label, self._model, what)
        out = []
        for t, seen in enumerate(chunk):
            own = {name: labels[source][v][t] for name, source in of.items()}
            found = None
            if self._counting is not None and self._rests[v].counting is not None:
                found = {
                    name: FrameCounts(*(x[t] for x in counts[source][v]))
                    for name, source in of.items()
                }
            out.append(Segmented(seen.index, seen.frame, own, seen.truth, found))
        return out


def _at_work(methods: Sequence[Method], rests: Sequence[Rest]) -> dict[str, Method]:
    """The methods that are computed: for some video its own labels, or those that it keeps."""
    wanted = {_computed_as(method.name, rest) for method in methods for rest in rests}
    own = {method.name: method for method in methods if method.name in wanted}
    if FROZEN in wanted and FROZEN not in own:
        own[FROZEN] = registry.named(FROZEN)
    return own


def _computed_as(method: str, rest: Rest) -> str:
    """The method whose labels a method has on a video."""
    return method if rest.prepared[method].kept_frozen is None else FROZEN


@contextmanager
def _running(clocks: Sequence[Clock]) -> Iterator[None]:
    """The time of the body, divided among videos."""
    together = Clock()
    with together.running():
        yield
    for clock in clocks:
        clock.add(together, len(clocks))

"""What a person looks at later, made in the background while the next frames are computed."""

import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from ditta_jax.algorithm.targets import vote
from ditta_jax.data.video import Video
from ditta_jax.methods.protocol import MASKLETS, WarmUp
from ditta_jax.runs.overlay_video import OverlayVideo
from ditta_jax.runs.page.film import Film
from ditta_jax.runs.work import Work
from ditta_jax.teacher.records import Masklets

_WAITING = 16  # frames in memory: the network is slowed down rather than memory filled


class Showing:
    """Feeds a video's film and its overlay video; a context manager that ends when both are whole.

    Args:
        film: for the page, and the file it goes to; None for none.
        video: None for none.
        titles: of the methods, for the panels of the video.
    """

    def __init__(
        self,
        film: tuple[Film, Path] | None,
        video: OverlayVideo | None,
        titles: Mapping[str, str],
    ) -> None:
        self._film, self._video, self._titles = film, video, titles
        self._free = threading.Semaphore(_WAITING)
        self._error: BaseException | None = None
        self._open = ExitStack()

    def __enter__(self) -> "Showing":
        if self._video is not None:
            self._open.enter_context(self._video)
        self._pool = ThreadPoolExecutor(1, "showing")  # one: frames stay in order
        return self

    def __exit__(self, kind, error, trace) -> None:
        self._pool.shutdown(wait=True, cancel_futures=kind is not None)
        failed = error or self._error
        self._open.__exit__(type(failed) if failed else None, failed, None)
        if kind is None:
            self._raise_error()
            if self._film is not None:
                film, path = self._film
                film.write(path)

    def frame(
        self,
        index: int,
        frame: UInt8[np.ndarray, "H W 3"],
        labels: Mapping[str, UInt8[np.ndarray, "H W"]],
        truth: UInt8[np.ndarray, "H W"] | None,
    ) -> None:
        """Hand over the next frame: its labels by method, its truth where there is one.

        Raises:
            UserError: an earlier frame could not be written.
        """
        self._raise_error()
        if self._film is None and self._video is None:
            return
        copies = {method: np.array(label) for method, label in labels.items()}
        self._free.acquire()
        done = self._pool.submit(
            self._show, index, np.array(frame), copies, None if truth is None else np.array(truth)
        )
        done.add_done_callback(self._done)

    def _show(self, index, frame, labels, truth) -> None:
        if self._error is not None:
            return
        if self._film is not None:
            self._film[0].frame(index, frame, labels, truth)
        if self._video is not None:
            panels = {} if truth is None else {"ground truth": truth}
            panels |= {self._titles[method]: label for method, label in labels.items()}
            self._video.write(frame, panels)

    def _done(self, future: Future) -> None:
        self._free.release()
        if not future.cancelled() and (error := future.exception()) is not None:
            self._error = self._error or error

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error


def film_of(work: Work, video: Video, warm_up: WarmUp) -> Film | None:
    """A video's film, with what stages A and B found already in it; None where no page is wanted.

    Args:
        work: of the run.
        video: the video.
        warm_up: stage A's result, with the teacher's masks where there are any.
    """
    if not work.config.report.page:
        return None
    scored = (work.first_scored(video), len(video.frames))
    film = Film(video.name, video.size, work.classes, work.palette, scored, work.config.report.page)
    labels, reliability = np.asarray(warm_up.labels), np.asarray(warm_up.reliability)
    found = (warm_up.masks or {}).get(MASKLETS)
    masklets = found if isinstance(found, Masklets) else None
    object_class = None
    if masklets is not None:
        powers = (work.config.vote.area_power, work.config.vote.frequency_power)
        pixels = masklets.pixels_per_class
        voted = vote(masklets, labels, reliability, len(work.classes), pixels, *powers)
        object_class = voted.object_class
    film.warm_up(video.frames.__getitem__, labels, reliability, masklets, object_class)
    return film


def showing_of(work: Work, video: str, film: Film | None) -> Showing:
    """What is made of a video besides predictions and scores, as the settings want it."""
    overlay = None
    if work.config.report.video:
        path = work.run.overlay_video_file(video)
        overlay = OverlayVideo(path, work.classes, work.palette)
    titles = {name: method.title for name, method in work.methods.items()}
    own = None if film is None else (film, work.run.film_file(video))
    return Showing(own, overlay, titles)

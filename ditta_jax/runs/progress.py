"""Progress of a run: a live bar in a terminal, plain lines everywhere else, or nothing."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from ditta_jax.errors import stop_if_interrupted

_ESTIMATE_SECONDS = 24 * 3600.0  # how far back rich looks for its estimate: videos take minutes


_quiet = ContextVar("quiet", default=False)


@contextmanager
def quietly(quiet: bool = True) -> Iterator[None]:
    """Within it, no `RunProgress` says anything."""
    before = _quiet.set(quiet)
    try:
        yield
    finally:
        _quiet.reset(before)


class RunProgress:
    """Follows the videos of a run and the stages of each; a context manager.

        with RunProgress(len(videos)) as progress:
            with progress.video(name):
                with progress.stage("A student", frames) as advance:
                    advance()

    Each stage and step is a safe point for Ctrl-C (`ditta_jax.errors`).

    Args:
        videos: how many videos the run has.
        console: where to; the terminal's standard error by default.
        done: how many of them are done before; no part in the estimated time.
    """

    def __init__(self, videos: int, console: Console | None = None, done: int = 0) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._quiet = _quiet.get()
        self._total = videos
        self._done = done
        self._timed: list[float] = []
        self._note = ""
        self._bar: Progress | None = None
        self._names: tuple[str, ...] = ()

    def __enter__(self) -> "RunProgress":
        if self._console.is_terminal and not self._quiet:
            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=30),
                MofNCompleteColumn(),
                _Speed(),
                TimeElapsedColumn(),
                TimeRemainingColumn(compact=True),
                TextColumn("{task.fields[note]}", markup=False),
                console=self._console,
                transient=True,
                speed_estimate_period=_ESTIMATE_SECONDS,
            )
            self._bar.start()
            self._run = self._bar.add_task(
                "videos", total=self._total, completed=self._done, note="", unit=""
            )
            self._step = self._bar.add_task("", total=None, visible=False, note="", unit="frames")
        return self

    def __exit__(self, *_) -> None:
        if self._bar is not None:
            self._bar.stop()

    @contextmanager
    def video(self, name: str) -> Iterator[None]:
        """The work on one video."""
        with self.videos([name]):
            yield

    @contextmanager
    def videos(self, names: Sequence[str]) -> Iterator[None]:
        """The work on videos side by side; a `stage` may be of one of them."""
        self._names = tuple(names)
        start = time.perf_counter()
        yield
        seconds = time.perf_counter() - start
        self._timed += [seconds / len(names)] * len(names)
        self._advance(f"done in {duration(seconds)}")

    def skip(self, name: str, what: str = "already done") -> None:
        """A video that was finished elsewhere, as `what` says; no part in the estimated time."""
        self._names = (name,)
        self._advance(what)

    @contextmanager
    def stage(
        self, name: str, steps: int | None = None, video: str | None = None
    ) -> Iterator[Callable[..., None]]:
        """One stage of the current videos; yields `advance(steps=1)`.

        Args:
            name: shown while it runs.
            steps: how many there are, if that is known.
            video: the one that it is about, if it is not all of them; it may be a later one.
        """
        stop_if_interrupted()
        label = self._label(self._names if video is None else (video,))
        if self._bar is None:
            self.say(f"{label}: {name}" + (f" ({steps})" if steps else ""))
            yield lambda steps=1: stop_if_interrupted()
            return
        bar, task = self._bar, self._step
        bar.reset(task, total=steps, description=f"{label}: {name}", visible=True)

        def advance(steps: int = 1) -> None:
            stop_if_interrupted()
            bar.advance(task, steps)

        yield advance
        bar.update(task, visible=False)

    def note(self, text: str) -> None:
        """What stands behind the count of videos from now on, such as the scores so far."""
        self._note = text
        if self._bar is not None:
            self._bar.update(self._run, note=text)

    def say(self, text: str) -> None:
        """One line that stays."""
        if not self._quiet:
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def seconds_left(self) -> float | None:
        """Estimate from the videos so far; None before the first and after the last."""
        left = self._total - self._done
        if not self._timed or left == 0:
            return None
        return left * sum(self._timed) / len(self._timed)

    def _label(self, names: Sequence[str]) -> str:
        """Number and name of current videos: [2/9] b, or [2-4/9] b to d."""
        if names[0] not in self._names:
            return names[0]
        first = self._done + 1 + self._names.index(names[0])
        if len(names) == 1:
            return f"[{first}/{self._total}] {names[0]}"
        return f"[{first}-{first + len(names) - 1}/{self._total}] {names[0]} to {names[-1]}"

    def _advance(self, what: str) -> None:
        label = self._label(self._names)
        self._done += len(self._names)
        left = self.seconds_left()
        more = [self._note, "" if left is None else f"about {duration(left)} left"]
        self.say(", ".join([f"{label}: {what}", *filter(None, more)]))
        if self._bar is not None:
            self._bar.update(self._run, completed=self._done)


class _Speed(ProgressColumn):
    """Steps a second of the current stage."""

    def render(self, task: Task) -> Text:
        """Steps a second, where there are steps."""
        speed = task.speed if task.fields["unit"] else None
        return Text("" if speed is None else f"{speed:.1f} {task.fields['unit']}/s")


def duration(seconds: float) -> str:
    """Seconds as a person says them: 4.2 s, 3 min 10 s, 2 h 05 min."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"

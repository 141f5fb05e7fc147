"""Student and teacher side by side: stage A a few videos ahead of adaptation, its requests at once.

While the student adapts to a video and segments the rest of it, the teacher, a process of its own,
works on the next ones. Order and results are those of one after the other.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from ditta_jax.runs import teaching
from ditta_jax.runs.failures import Failures
from ditta_jax.runs.progress import RunProgress
from ditta_jax.runs.teaching import Entries
from ditta_jax.runs.timeline import Timeline
from ditta_jax.runs.warm_ups import WarmUps
from ditta_jax.runs.work import Work
from ditta_jax.teacher import process
from ditta_jax.teacher.cache import write_request
from ditta_jax.teacher.process import Answers


class StandingTeacher:
    """A teacher whose process stays while one exchange follows another; a context manager.

    Args:
        work: what all videos share.

    Attributes:
        answers: who is asked; None where the run needs no teacher.
        listen: told the teacher's events; each exchange has its own.
    """

    def __init__(self, work: Work) -> None:
        self.answers: Answers | None = None
        self.listen: Callable[[Mapping[str, Any]], None] = lambda event: None
        self._work, self._stack = work, ExitStack()

    def __enter__(self) -> "StandingTeacher":
        if self._work.teacher:
            cache, settings = self._work.cache, self._work.config.teacher
            session = process.open_session(cache, settings, lambda event: self.listen(event))
            self.answers = self._stack.enter_context(session)
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)


class Exchange:
    """What is asked of the teacher and what it has answered; a context manager.

    Without a teacher it does nothing: stage A then waits for each video's turn.

    Args:
        work: what all videos share.
        names: of the videos to do, in the order of their turns.
        warm_ups: where stage A's results are kept until then.
        failures: told of videos that student or teacher cannot do.
        progress: told of each stage, and of each answer.
        teacher: who is asked, and stays; None: one of its own, which ends with this.

    Attributes:
        entries: of the videos that were asked about, in the cache, by what methods need of it.
    """

    def __init__(
        self,
        work: Work,
        names: Sequence[str],
        warm_ups: WarmUps,
        failures: Failures,
        progress: RunProgress,
        teacher: StandingTeacher | None = None,
    ) -> None:
        self.entries: dict[str, Entries] = {}
        self._work, self._warm_ups = work, warm_ups
        self._failures, self._progress = failures, progress
        self._names, self._asked = list(names), 0
        self._answers: Answers | None = None
        self._teacher, self._stack = teacher, ExitStack()

    def __enter__(self) -> "Exchange":
        if self._names:
            teacher = self._teacher or self._stack.enter_context(StandingTeacher(self._work))
            teacher.listen = _listener(self._work.timeline, self._progress.say)
            self._answers = teacher.answers
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def bring(self, names: Sequence[str]) -> None:
        """Have the teacher's masks of these videos, whose turn it is, in the cache.

        Before it waits, stage A is done for them and a few further ones, and the teacher asked.

        Raises:
            UserError: the teacher failed at none of the videos in particular.
        """
        if self._answers is None:
            return
        self._ask_ahead(names, self._answers)
        for name in names:
            if name in self.entries and name not in self._failures:
                answers = [self._answers.wait(entry) for entry in self.entries[name].values()]
                message = next(filter(None, answers), None)
                if message is not None:
                    self._failures.add(name, message)
                    self._warm_ups.take(name)  # nobody else will

    def _ask_ahead(self, names: Sequence[str], answers: Answers) -> None:
        """Stage A and the request, up to so many videos beyond those whose turn it is."""
        until = len(self._names)
        if not answers.all_at_once:
            until = self._names.index(names[-1]) + 1 + videos_ahead(self._work.config)
        for name in self._names[self._asked : until]:
            self._asked += 1
            with self._failures.of(name):
                self._ask(name, answers)

    def _ask(self, name: str, answers: Answers) -> None:
        work = self._work
        video = work.videos.named(name)
        warm_up = teaching.label(work, video, self._progress)
        self.entries[name] = {
            need: write_request(work.cache, request, video.frames)
            for need, request in teaching.requests_of(work, video, warm_up).items()
        }
        for entry in self.entries[name].values():
            answers.ask(entry)
        self._warm_ups.put(warm_up)


def videos_ahead(config: Any) -> int:
    """For how many videos beyond the current ones stage A is done: enough for every worker."""
    teacher, ahead = config.teacher, config.parallel.ahead
    return max(ahead, teacher.workers, teacher.device.count(",") + 1) if ahead else 0


def _listener(
    timeline: Timeline, say: Callable[[str], None]
) -> Callable[[Mapping[str, Any]], None]:
    """What the teacher is to call: its spans are noted, its answers are told."""
    videos: dict[str, str] = {}  # by the name of the entry
    of_none = {"loads": timeline.teacher_loads, "ready": timeline.teacher_ready}

    def listen(event: Mapping[str, Any]) -> None:
        if event["event"] in of_none:
            of_none[event["event"]]()
            return
        if event["event"] == "begin":
            videos[event["entry"]] = event["video"]
            timeline.teacher_begins(event["entry"])
            return
        timeline.teacher_ends(event["entry"], videos.get(event["entry"], ""))
        if event["event"] == "video":
            took = f"{event['objects']} objects in {event['seconds']:.1f} s"
            say(f"{event['video']}: B: the teacher's masks, {took}")

    return listen

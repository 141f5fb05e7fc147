"""Whole videos, student and teacher, spread over the machines of a Ray cluster.

This process owns the run's folder and hands out videos; an actor does stages A to D of those it is
given and writes their files and records into the folder, which all machines must see under the same
path. What comes back over Ray is only why a video could not be done.
"""

import os
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from ditta_jax.algorithm import precision
from ditta_jax.errors import UserError, WriteError, stop_if_interrupted
from ditta_jax.runs import devices
from ditta_jax.runs.exchange import StandingTeacher
from ditta_jax.runs.progress import RunProgress
from ditta_jax.runs.work import Work, open_work
from ditta_jax.teacher.ray_cluster import Cluster, connected

_ATTEMPTS = 3  # of actors at one video, before it is given up
_LOOK_SECONDS = 0.5  # between two safe points for Ctrl-C
_SHARES_EACH = 4  # that an actor does, where there are enough videos: the last ones end together

# Stages A to D of some videos: of these records are there, and why others could not be done.
Do = Callable[[Work, Sequence[str], StandingTeacher], tuple[Mapping[str, Any], Mapping[str, str]]]


class Outcome(NamedTuple):
    """What came of some videos.

    Attributes:
        failures: why some of them could not be done.
        fatal: why none can be, here or anywhere; empty if they can.
    """

    failures: dict[str, str]
    fatal: str = ""


class Adapter:
    """What an actor is: a run opened on its machine, of which it does the videos it is given.

    Args:
        config: the settings.
        folder: that relative paths in them start from.
        do: stages A to D of some videos.
    """

    def __init__(self, config: ConfigDict, folder: str, do: Do) -> None:
        self._config, self._folder, self._do = config, folder, do
        self._opened: tuple[Work, StandingTeacher] | None = None
        self._stack = ExitStack()  # never unwound: the teacher's process ends with the actor's

    def adapt(self, names: Sequence[str]) -> Outcome:
        """Stages A to D of some videos; their records are in the run's folder then."""
        try:
            with precision.policy(**self._config.precision):
                if self._opened is None:
                    self._opened = self._open()
                work, teacher = self._opened
                _, failures = self._do(work, names, teacher)
        except WriteError as error:
            return Outcome({}, str(error))
        except UserError as error:  # of the run, or of the teacher; of no video
            return Outcome({}, str(error))
        return Outcome(dict(failures))

    def _open(self) -> tuple[Work, StandingTeacher]:
        """The run as this machine sees it, and its teacher."""
        config = self._config
        os.chdir(self._folder)
        computes = config.precision.compute, config.precision.matmul
        devices.prepare(*computes, config.parallel.memory_fraction)
        work = open_work(config)
        work.run.check_same()
        work.run.let_others_in()
        return work, self._stack.enter_context(StandingTeacher(work))


def spread(work: Work, do: Do) -> dict[str, str]:
    """Have every video done by an actor; what is finished before, they find.

    An actor that dies, alone or with its machine, leaves its videos to another, one by one then.

    Args:
        work: of the run, whose folder this process owns.
        do: stages A to D of some videos.

    Returns:
        why some videos could not be done, by name.

    Raises:
        UserError: Ray is missing, there is no cluster, or no video can be done.
    """
    config, names = work.config, work.videos.names
    cluster = connected(config.parallel.ray_address)
    count = config.parallel.workers or cluster.workers()
    adapter = cluster.actor(Adapter, count)
    work.run.let_others_in()
    with RunProgress(len(names)) as progress:
        crew = _Crew(cluster, count, lambda: adapter.remote(config, os.getcwd(), do), progress)
        return crew.do(_shares(names, count, config.parallel.videos))


def _shares(names: Sequence[str], count: int, least: int) -> list[tuple[str, ...]]:
    length = max(least, len(names) // (_SHARES_EACH * count), 1)
    return [tuple(names[i : i + length]) for i in range(0, len(names), length)]


class _Crew:
    """Actors, which videos each is at, and which are left to do."""

    def __init__(
        self,
        cluster: Cluster,
        count: int,
        new_actor: Callable[[], Any],
        progress: RunProgress,
    ) -> None:
        self._ray, self._count, self._new_actor = cluster.ray, count, new_actor
        self._progress = progress
        self._idle: list[Any] = []
        self._hand: dict[Any, tuple[Any, tuple[str, ...]]] = {}
        self._deaths: Counter[str] = Counter()
        self._failures: dict[str, str] = {}

    def do(self, shares: Sequence[tuple[str, ...]]) -> dict[str, str]:
        """Have all shares done; the failures by video."""
        self._waiting = deque(shares)
        try:
            while self._waiting or self._hand:
                self._hand_out()
                done, _ = self._ray.wait(list(self._hand), timeout=_LOOK_SECONDS)
                for outcome in done:
                    self._take_in(outcome, *self._hand.pop(outcome))
                stop_if_interrupted()
            return self._failures
        finally:
            for actor in [*self._idle, *(actor for actor, _ in self._hand.values())]:
                self._ray.kill(actor)

    def _hand_out(self) -> None:
        while self._waiting and (self._idle or len(self._hand) < self._count):
            actor = self._idle.pop() if self._idle else self._new_actor()
            names = self._waiting.popleft()
            self._hand[actor.adapt.remote(names)] = actor, names

    def _take_in(self, outcome: Any, actor: Any, names: tuple[str, ...]) -> None:
        try:
            found = self._ray.get(outcome)
        except self._ray.exceptions.RayActorError as error:
            self._ray.kill(actor)
            self._bury(names, " ".join(str(error).split())[:300])
            return
        self._idle.append(actor)
        if found.fatal:
            raise UserError(found.fatal)
        for name in names:
            failed = found.failures.get(name)
            if failed is not None:
                self._failures[name] = failed
            self._progress.skip(name, "done" if failed is None else f"failed: {failed}")

    def _bury(self, names: tuple[str, ...], words: str) -> None:
        """Take a dead actor's videos back, one by one: which of them it died of is not known."""
        for name in names:
            self._deaths[name] += len(names) == 1
            if self._deaths[name] >= _ATTEMPTS:
                self._failures[name] = f"{name}: every actor that tried it ended: {words}"
                self._progress.skip(name, f"failed: {self._failures[name]}")
            else:
                self._waiting.append((name,))

"""Workers on the machines of a Ray cluster: actors that hold the teacher, and one queue of videos.

Entries travel: an actor is given a request with its frames and gives the masklets back. So the
machines need no file system in common; each needs this package, and weights where they are named.
An actor that dies, with its machine or alone, leaves the others running, as in `pool`.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from ditta_jax.errors import UserError
from ditta_jax.files import write_atomically
from ditta_jax.teacher.cache import (
    EarlierEntry,
    Entry,
    masklets_path,
    read_entry,
    read_masklets,
)
from ditta_jax.teacher.ray_cluster import connected
from teacher_bridge.serving.claims import claim
from teacher_bridge.serving.events import Event, Report
from teacher_bridge.serving.questions import Questions
from teacher_bridge.serving.serve import attend
from teacher_bridge.serving.teachers import make_teacher

_ATTEMPTS = 3  # of actors at one video, before it is given up
_HEAR_SECONDS = 0.05  # between two looks at what is asked, and at what is answered
_BUSY_SECONDS = 0.5  # between two looks at videos that other teachers are at

Files = dict[str, bytes]  # of an entry, by their path in it


class Work(NamedTuple):
    """What an actor needs to be a teacher.

    Attributes:
        teacher: arguments of `teachers.make_teacher`.
        identity: the teacher's.
        key: of that.
        threads: of the CPU; 0: PyTorch's own choice.
    """

    teacher: tuple[Any, ...]
    identity: Mapping[str, str]
    key: str
    threads: int


class Answerer:
    """What an actor is: a teacher that stays, and answers entries that come to it."""

    def __init__(self, work: Work) -> None:
        """Take what it needs; the network is built with the first entry."""
        self._work = work
        self._teacher = make_teacher(*work.teacher)

    def answer(self, name: str, files: Files) -> tuple[dict[str, Any], bytes]:
        """Give the event that tells what came of an entry, and the content of its masklets.

        The event is "unready" where the network cannot be built, which is no fault of the entry.
        """
        work = self._work
        try:
            if work.threads:
                import torch

                torch.set_num_threads(work.threads)
            self._teacher.prepare()
        except UserError as error:
            return {"event": "unready", "message": str(error)}, b""
        with TemporaryDirectory(prefix="ditta-entry-") as place:
            folder = Path(place) / name
            for path, data in files.items():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(data)
            event = attend(folder, self._teacher, work.identity, work.key, lambda event: None)
            answered = event["event"] == "video"
            return dict(event), masklets_path(folder, work.key).read_bytes() if answered else b""


class InHand(NamedTuple):
    """An entry that an actor is at.

    Attributes:
        actor: who.
        folder: the entry.
        claimed: what ends the claim on it.
    """

    actor: Any
    folder: Path
    claimed: ExitStack


class RayPool:
    """Actors, what each is at, and what is left to do."""

    def __init__(self, work: Work, report: Report, workers: int = 0, address: str = "") -> None:
        """Take what actors need, whom to tell, how many there are to be, and where the cluster is.

        Args:
            work: what an actor needs.
            report: told of all events.
            workers: actors; 0: one for each GPU, or for each machine where there are none.
            address: of the cluster; empty: what RAY_ADDRESS says, a running one here, or a new one.
        """
        self._work, self._report = work, report
        self.cluster = connected(address)
        self._ray = self.cluster.ray
        self._on_gpus = work.teacher[2] != "cpu"
        self.workers = workers or self.cluster.workers(self._on_gpus)
        self._idle: list[Any] = []
        self._hand: dict[Any, InHand] = {}
        self._waiting: deque[Path] = deque()
        self._attempts: Counter[Path] = Counter()
        self._failures: list[str] = []

    def answer(self, questions: Questions) -> list[str]:
        """Have entries answered as they become known; gives the messages of the failed ones."""
        self._total = self._done = 0
        try:
            while True:
                new = questions.take(wait=not (self._waiting or self._hand))
                self._waiting.extend(new)
                self._total += len(new)
                if not (self._waiting or self._hand):
                    return self._failures
                self._hand_out()
                self._listen()
        finally:
            self._stop()

    def new_actor(self) -> Any:
        """Start an actor on the least busy machine."""
        return self.cluster.actor(Answerer, self.workers, self._on_gpus).remote(self._work)

    def _hand_out(self) -> None:
        """Give every idle actor a video, starting actors while there are videos for them."""
        for _ in range(len(self._waiting)):
            if not self._idle and len(self._hand) >= self.workers:
                return
            folder = self._waiting.popleft()
            claimed = ExitStack()
            if not claimed.enter_context(claim(folder, self._work.key)):
                self._waiting.append(folder)  # another teacher is at it
                continue
            try:
                entry = read_entry(folder)
                if read_masklets(folder, self._work.key) is not None:  # by another, meanwhile
                    raise EarlierEntry(f"{folder}: answered by another teacher")
            except EarlierEntry as error:
                claimed.close()
                self._finish({"event": "skipped", "entry": folder.name, "message": str(error)})
                continue
            except UserError as error:
                claimed.close()
                self._fail(folder, str(error))
                continue
            actor = self._idle.pop() if self._idle else self.new_actor()
            answer = actor.answer.remote(folder.name, files_of(entry))
            self._hand[answer] = InHand(actor, folder, claimed)
            video = entry.request.video
            self._report({"event": "begin", "entry": folder.name, "video": video})

    def _listen(self) -> None:
        """Take in what is answered, and what died."""
        if not self._hand:  # other teachers are at all that is left
            time.sleep(_BUSY_SECONDS)
            return
        answered, _ = self._ray.wait(list(self._hand), timeout=_HEAR_SECONDS)
        for answer in answered:
            actor, folder, claimed = self._hand.pop(answer)
            with claimed:
                try:
                    event, masklets = self._ray.get(answer)
                except self._ray.exceptions.RayError as error:
                    self._bury(actor, folder, " ".join(str(error).split())[:300])
                    continue
                self._take_in(folder, event, masklets)
            self._idle.append(actor)

    def _take_in(self, folder: Path, event: Event, masklets: bytes) -> None:
        if event["event"] == "unready":
            raise UserError(event["message"])
        if event["event"] == "failed":
            self._fail(folder, event["message"])
            return
        if event["event"] == "video":
            write_atomically(masklets_path(folder, self._work.key), masklets)
            if read_masklets(folder, self._work.key) is None:
                self._fail(folder, f"{folder}: what came back from Ray are no masklets of it")
                return
        self._finish(event)

    def _bury(self, actor: Any, folder: Path, words: str) -> None:
        """Take a dead actor off the books and its video back into the queue."""
        self._ray.kill(actor)
        self._attempts[folder] += 1
        if self._attempts[folder] >= _ATTEMPTS:
            self._fail(folder, f"{folder}: every actor that tried it ended: {words}")
        else:
            self._waiting.append(folder)

    def _finish(self, event: Event) -> None:
        self._done += 1
        counted: dict[str, Any] = {**event}
        if event["event"] == "video":
            counted |= {"done": self._done, "total": self._total}
        self._report(counted)

    def _fail(self, folder: Path, message: str) -> None:
        self._failures.append(message)
        self._finish({"event": "failed", "entry": folder.name, "message": message})

    def _stop(self) -> None:
        for actor, _, claimed in self._hand.values():
            claimed.close()
            self._idle.append(actor)
        for actor in self._idle:
            self._ray.kill(actor)
        self._hand.clear()
        self._idle.clear()


def files_of(entry: Entry) -> Files:
    """The files of an entry that a teacher reads, by their path in it."""
    paths = [entry.folder / "request.json", *entry.frame_files]
    return {path.relative_to(entry.folder).as_posix(): path.read_bytes() for path in paths}

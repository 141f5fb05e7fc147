"""The videos of a run, shared out among its processes.

<run>/.shares/plan.json   how the list of videos is cut
<run>/.shares/<n>.lock    held by the process that is at a share
<run>/.shares/<n>.json    a share that is done: which of its videos failed, and why

A process does its own shares first, then those that nobody is at. So whoever is quick helps the
others, and what a dead process left is taken over.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ditta_jax.errors import UserError, stop_if_interrupted
from ditta_jax.files import seal, unseal, write_atomically, writing
from ditta_jax.runs.hosts import Host
from ditta_jax.runs.lock import claim
from ditta_jax.runs.run_folder import RunFolder

FOLDER = ".shares"
_SHARES_EACH = 4  # that a process does, where there are enough videos: the last ones end together
_LOOK_SECONDS = 0.5  # between two looks at what others are at


class Share(NamedTuple):
    """Some of a run's videos.

    Attributes:
        number: of the share, from 0.
        videos: their names.
    """

    number: int
    videos: tuple[str, ...]


def share_out(run: RunFolder, names: Sequence[str], host: Host, least: int) -> "Shares":
    """Let the processes of a run into its folder, and cut the list of videos for them.

    Args:
        run: whose lock the host holds.
        names: of all videos.
        host: this process, one of several.
        least: videos of a share, where there are enough.

    Raises:
        UserError: the processes do not do the same run.
    """
    assert host.lock is not None
    shares = Shares(run.path, names, host.process, host.processes, least)
    if host.process == 0:
        run.make_own(names)
        shares.plan()
        host.lock.let_others_in()
    else:
        run.check_same()
        shares.check_plan()
    run.let_others_in()
    return shares


class Shares:
    """The shares of a run as one of its processes sees them.

    Args:
        run: the run's folder.
        names: of all videos.
        process: number of this process.
        processes: how many there are.
        least: videos of a share, where there are enough: those adapted side by side.
    """

    def __init__(
        self, run: Path, names: Sequence[str], process: int, processes: int, least: int = 1
    ) -> None:
        self._folder = run / FOLDER
        self._process, self._processes = process, processes
        length = max(least, len(names) // (_SHARES_EACH * processes), 1)
        cuts = range(0, len(names), length)
        self._shares = [Share(n, tuple(names[i : i + length])) for n, i in enumerate(cuts)]

    def plan(self) -> None:
        """Forget what an earlier run left; for process 0, before the others are let in."""
        for old in self._folder.glob("*.json"):
            with writing(old):
                old.unlink()
        write_atomically(self._folder / "plan.json", seal(self._plan()))

    def check_plan(self) -> None:
        """See that process 0 does the same run.

        Raises:
            UserError: it found other videos, or it ended before it was ready.
        """
        path = self._folder / "plan.json"
        try:
            same = unseal(path.read_bytes()) == self._plan()
        except (OSError, ValueError):
            raise UserError(f"{path}: process 0 of this run ended before it began") from None
        if not same:
            raise UserError(
                f"{path}: process 0 of this run finds other videos than process {self._process}; "
                "give all processes the same configuration and data"
            )

    def each(self) -> Iterator[Share]:
        """Shares for this process to do, one after the other, until all are done by anybody.

        What is yielded is claimed until the next is asked for; `finish` it before that.
        """
        left = self._in_order()
        while left:
            taken = []
            for share in left:
                if self._done(share):
                    continue
                with claim(self._folder / f"{share.number}.lock") as mine:
                    if not mine:
                        taken.append(share)
                    elif not self._done(share):
                        yield share
            left = taken
            if left:
                stop_if_interrupted()
                time.sleep(_LOOK_SECONDS)

    def finish(self, share: Share, failures: Mapping[str, str]) -> None:
        """Say that a share is done, its records written.

        Args:
            share: of `each`.
            failures: of its videos that could not be done, what a person was told.
        """
        write_atomically(self._file(share), seal({"failures": dict(failures)}))

    def failures(self) -> dict[str, str]:
        """Of all videos that could not be done, by whom ever; once `each` has ended."""
        found: dict[str, str] = {}
        for share in self._shares:
            found |= unseal(self._file(share).read_bytes())["failures"]
        return found

    def _in_order(self) -> list[Share]:
        """Its own first; then those of others, the last first, which they come to last."""
        own = self._shares[self._process :: self._processes]
        return own + [share for share in reversed(self._shares) if share not in own]

    def _done(self, share: Share) -> bool:
        return self._file(share).exists()

    def _file(self, share: Share) -> Path:
        return self._folder / f"{share.number}.json"

    def _plan(self) -> dict[str, list]:
        return {"shares": [list(share.videos) for share in self._shares]}

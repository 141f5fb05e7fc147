"""The processes of one run, on one host or on many: who is which, and how they find each other.

They meet at JAX's coordinator, which process 0 is, and share a folder of results. Nothing else
passes between them: no array, no collective. A process that dies is not waited for, but where
process 0 dies JAX ends the others.
"""

import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax

from ditta_jax.errors import UserError
from ditta_jax.runs import devices
from ditta_jax.runs.foreign_folder import refuse_foreign
from ditta_jax.runs.lock import FolderLock

AUTO = "auto"
_MEETING_SECONDS = 300  # that processes wait for each other at the start


class Host(NamedTuple):
    """One process of a run.

    Attributes:
        process: its number.
        processes: how many there are.
        lock: of the run's folder, held; None where the process is alone.
    """

    process: int = 0
    processes: int = 1
    lock: FolderLock | None = None

    @property
    def alone(self) -> bool:
        """Whether there are no others."""
        return self.lock is None


ALONE = Host()


@contextmanager
def joined(parallel: Any, folder: Path) -> Iterator[Host]:
    """Be one process of the run, from its start to its end; before anything is computed.

    Process 0 leaves last. The others are let in by it, once the folder is prepared
    (`FolderLock.let_others_in`).

    Args:
        parallel: the section of the configuration.
        folder: of the run, the same for all.

    Raises:
        UserError: the others are not found, another run owns the folder.
    """
    if not parallel.coordinator:
        yield ALONE
        return
    devices.trust_products()  # these two before the devices are asked for
    devices.share_memory(parallel.memory_fraction)
    process, processes = _meet(parallel)
    if processes == 1:
        yield ALONE
        return
    try:
        if process == 0:
            refuse_foreign(folder)
            with FolderLock(folder) as lock:
                _wait_for_all(processes)
                yield Host(process, processes, lock)
                lock.wait_until_alone()
        else:
            _wait_for_all(processes)
            with FolderLock(folder, second=True) as lock:
                yield Host(process, processes, lock)
                jax.distributed.shutdown()  # while process 0 still waits
    finally:
        if jax.distributed.is_initialized():
            jax.distributed.shutdown()


def _meet(parallel: Any) -> tuple[int, int]:
    """Find the coordinator; the number of this process, and how many there are."""
    jax.config.update("jax_enable_recoverability", True)  # else one that dies takes all with it
    jax.config.update("jax_enable_preemption_service", False)  # signals are ours (`errors`)
    where: dict[str, Any] = {"initialization_timeout": _MEETING_SECONDS}
    if parallel.coordinator != AUTO:
        where |= {
            "coordinator_address": parallel.coordinator,
            "num_processes": parallel.processes,
            "process_id": parallel.process,
            "cluster_detection_method": "deactivate",
        }
    place = "" if parallel.coordinator == AUTO else f" at {parallel.coordinator}"
    line = f"waiting for the run's other processes{place}, {_MEETING_SECONDS} s at most"
    print(line, file=sys.stderr, flush=True)
    if parallel.coordinator != AUTO and parallel.process > 0:
        _find(parallel.coordinator)
    try:
        jax.distributed.initialize(**where)
    except (ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"parallel.coordinator: {parallel.coordinator}: the run's processes did not meet "
            f"({reason}); give the address of process 0, parallel.processes and parallel.process"
        ) from error
    return jax.process_index(), jax.process_count()


def _find(address: str) -> None:
    """Wait until process 0 listens: JAX would abort in vain, and hears no signal meanwhile.

    Raises:
        UserError: nobody does.
    """
    place, _, port = address.rpartition(":")
    end = time.monotonic() + _MEETING_SECONDS
    while True:
        try:
            with socket.create_connection((place.strip("[]"), int(port)), timeout=5):
                return
        except OSError as error:
            if time.monotonic() >= end:
                raise UserError(
                    f"parallel.coordinator: nobody answers at {address} ({error}); start process 0 "
                    "there (parallel.process=0), or mend the address"
                ) from error
        time.sleep(1)


def _wait_for_all(processes: int) -> None:
    """Wait until every process has come here; by the coordinator, without the devices."""
    from orbax.checkpoint import multihost

    meet = multihost.get_barrier_sync_fn(processes=set(range(processes)))
    meet(key="ditta_jax run", timeout_ms=1000 * _MEETING_SECONDS)

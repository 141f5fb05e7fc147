"""The processes of one run, on one host or on many: who is which, and how they find each other.

They meet at JAX's coordinator, which process 0 is, and share a folder of results. Nothing else
passes between them: no array, no collective. A process that dies is not waited for, but where
process 0 dies JAX ends the others.
"""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax

from ditta_jax.errors import UserError, end_at_once
from ditta_jax.runs import devices
from ditta_jax.runs.foreign_folder import refuse_foreign
from ditta_jax.runs.lock import FolderLock

AUTO = "auto"
_MEETING_SECONDS = 300  # that processes wait for each other at the start
_LOOK_SECONDS = 0.5  # between two safe points for Ctrl-C while they do
_NEVER = 10**6  # seconds after which JAX itself gives up waiting


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
    where: dict[str, Any] = {}  # which JAX finds by itself
    place = ""
    if parallel.coordinator != AUTO:
        where = {
            "coordinator_address": parallel.coordinator,
            "num_processes": parallel.processes,
            "process_id": parallel.process,
            "cluster_detection_method": "deactivate",
        }
        place = f" at {parallel.coordinator}"
    line = f"waiting for the run's other processes{place}, {_MEETING_SECONDS} s at most"
    print(line, file=sys.stderr, flush=True)
    try:
        _initialise(where)
    except (ValueError, RuntimeError, TimeoutError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"parallel.coordinator: {parallel.coordinator}: the run's processes did not meet "
            f"({reason}); give the address of process 0, parallel.processes and parallel.process"
        ) from error
    return jax.process_index(), jax.process_count()


def _initialise(where: dict[str, Any]) -> None:
    """`jax.distributed.initialize`, in a thread: JAX hears no signal, and aborts, waiting in vain.

    Raises:
        TimeoutError: the processes did not all come.
        ValueError, RuntimeError: of JAX.
    """
    failed: list[Exception] = []

    def initialise() -> None:
        try:
            jax.distributed.initialize(**where, initialization_timeout=_NEVER)
        except (ValueError, RuntimeError) as error:
            failed.append(error)

    thread = threading.Thread(target=initialise, daemon=True)
    thread.start()
    end = time.monotonic() + _MEETING_SECONDS
    try:
        while thread.is_alive():
            if time.monotonic() >= end:
                raise TimeoutError(f"not all of them came in {_MEETING_SECONDS} s")
            thread.join(_LOOK_SECONDS)
    except BaseException:
        end_at_once()  # the thread still waits for a service that ends with this process
        raise
    if failed:
        raise failed[0]


def _wait_for_all(processes: int) -> None:
    """Wait until every process has come here; by the coordinator, without the devices."""
    from orbax.checkpoint import multihost

    meet = multihost.get_barrier_sync_fn(processes=set(range(processes)))
    try:
        meet(key="ditta_jax run", timeout_ms=1000 * _MEETING_SECONDS)
    except RuntimeError as error:  # one of them has ended since they met
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"the run's other processes are not there any more ({reason})") from error

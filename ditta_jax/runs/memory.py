"""Memory: the most that a part of the work has held, and what is said where it does not suffice."""

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ditta_jax.errors import UserError

_RESET, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
_RESIDENT = "5"  # what to write there: proc(5)
_EXHAUSTED = "RESOURCE_EXHAUSTED"  # as XLA says it, in an error without a kind of its own
_earlier = [0]  # highest mark before the last reset


class Peak:
    """What `watched` found.

    Attributes:
        bytes: most that was held meanwhile; None where the system does not tell.
    """

    bytes: int | None = None


@contextmanager
def watched() -> Iterator[Peak]:
    """Watch the memory during the body.

    On a CPU it is the resident memory of the whole process, by Linux' high-water mark, which is set
    back first: what earlier work left behind counts. A device's mark cannot be set back: it is that
    of all its work so far.
    """
    peak, device = Peak(), of_device()
    if device is not None:
        yield peak
        peak.bytes = of_device()
        return
    told = _set_back()
    yield peak
    if told:
        peak.bytes = _mark()


@contextmanager
def told_if_short() -> Iterator[None]:
    """Turn too little memory, of the machine or a device, into one line.

    Raises:
        UserError: says how much was asked for, where that is known.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        said = " ".join(str(error).split())
        if isinstance(error, RuntimeError) and _EXHAUSTED not in said:
            raise
        said = said.partition(_EXHAUSTED)[2].lstrip(": ") or said
        raise UserError(
            f"not enough memory ({said[:150] or 'no more is told'}); use a smaller input.scale, a "
            "shorter warm-up, parallel.videos=1 or precision.compute=bfloat16"
        ) from error


def of_process() -> int | None:
    """Most resident memory of this process since it began, bytes; None where it is not known."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if platform.system() == "Darwin" else 1024
    now = int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * unit
    return max(now, *_earlier)


def of_device() -> int | None:
    """Most memory of the first device that was in use at once, bytes; None on a CPU."""
    import jax

    if jax.default_backend() == "cpu":
        return None
    stats = jax.local_devices()[0].memory_stats()
    return stats.get("peak_bytes_in_use") if stats else None


def _set_back() -> bool:
    """Whether the high-water mark of this process is now what it holds."""
    try:
        before = _mark()
        _RESET.write_text(_RESIDENT)
    except (OSError, ValueError):  # another system, or one that does not allow it
        return False
    _earlier[0] = max(_earlier[0], before)
    return True


def _mark() -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"{_STATUS} names no high-water mark")

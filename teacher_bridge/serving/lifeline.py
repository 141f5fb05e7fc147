"""A process that ends with the one that started it, whatever that one died of."""

from __future__ import annotations

import os
import queue
import signal
import threading
import time

_STDIN = 0
_GRACE_SECONDS = 5.0  # for an orderly end, before the process is left at once
_MOST_LINE = 1 << 16


def follow_parent() -> queue.Queue[str | None]:
    """Watch standard input, which the parent holds open as long as it lives.

    A killed parent's end of the pipe is closed by the system, on every system. This process is
    then ended by SIGTERM, and if that does not help (it may be deep in a computation) at once.

    Returns:
        The lines that the parent writes; None when the parent has gone.
    """
    lines: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_watch, args=(lines,), daemon=True).start()
    return lines


def _watch(lines: queue.Queue[str | None]) -> None:
    # Not through `sys.stdin`, whose lock would be held for ever when the interpreter ends.
    rest = b""
    while data := _read():
        *whole, rest = (rest + data).split(b"\n")
        rest = rest[:_MOST_LINE]
        for line in whole:
            lines.put(line.decode(errors="replace"))
    lines.put(None)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE_SECONDS)
    os._exit(128 + signal.SIGTERM)


def _read() -> bytes:
    try:
        return os.read(_STDIN, _MOST_LINE)
    except OSError:
        return b""

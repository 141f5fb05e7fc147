"""A process that reports in lines of JSON: started, listened to, and never left behind.

What it writes is not trusted: lines may be endless, binary, cut off or nonsense, and there may be
any number of them. Only well-formed events (`EVENTS`) reach the program; of everything else the
last lines are kept, for the message if the process dies.
"""

from __future__ import annotations

import queue
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import IO, Any

from ditta_jax.errors import UserError
from ditta_jax.files import parse_json

# The events of `python -m teacher_bridge --json`, with the types of their values.
EVENTS: Mapping[str, Mapping[str, type]] = {
    "start": {"total": int, "finished": int},
    "ready": {},
    "begin": {"entry": str, "video": str},
    "alive": {"entry": str, "frame": int},
    "video": {
        **{"entry": str, "video": str, "frames": int, "objects": int, "seconds": float},
        **{"done": int, "total": int},
    },
    "failed": {"entry": str, "message": str},
    "skipped": {"entry": str, "message": str},
    "busy": {"entry": str},
}
_MOST_LINE = 1 << 16  # bytes; no event is longer
_MOST_TEXT = 2_000  # characters of a value
_TAIL_LINES, _TAIL_LINE = 20, 300
_MOST_WAITING = 1_000  # events; a flood makes the writer wait, not memory grow
_STOP_SECONDS = 10.0

Inbox = queue.Queue[tuple["Child", Mapping[str, Any] | None]]


def new_inbox() -> Inbox:
    """Return the queue that children put their events into; None tells the end of one."""
    return queue.Queue(_MOST_WAITING)


class Child:
    """A running process; a context manager that stops it.

    Its standard input stays open as long as this process lives and is not stopped on purpose: a
    child that follows it ends when this process is killed, by whatever.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], inbox: Inbox):
        """Start the command. UserError naming it if that is impossible."""
        self._inbox = inbox
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._process = self._start(command, environment)
        assert self._process.stdout is not None and self._process.stderr is not None
        self._errors = self._thread(self._read_errors, self._process.stderr)
        self._thread(self._read_events, self._process.stdout)

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *unused: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def tell(self, line: str) -> None:
        """Write a line to its standard input; a dead child is noticed by its end, not here."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()

    def dismiss(self) -> None:
        """Close its standard input: it may end when it is done."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()

    def wait(self) -> int:
        """Return its exit status once its output has ended; negative: the signal it died of."""
        try:
            status = self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:  # its output is closed, it is not
            self.stop()
            status = self._process.wait()
        self._errors.join(1.0)
        return status

    def stop(self) -> None:
        """End the process if it still runs: asked first, then killed."""
        self.dismiss()
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def last_words(self) -> str:
        """Return its own last error message, or else its last lines; empty if it was silent."""
        words = [line for line in list(self._tail) if line]
        errors = [line for line in words if line.startswith("error: ")]
        return errors[-1].removeprefix("error: ") if errors else " | ".join(words[-3:])

    @staticmethod
    def _start(command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        try:
            return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment)
        except (OSError, ValueError) as error:
            raise UserError(f"teacher.python: {command[0]}: cannot be run ({error})") from None

    @staticmethod
    def _thread(target: Any, stream: IO[bytes]) -> threading.Thread:
        thread = threading.Thread(target=target, args=(stream,), daemon=True)
        thread.start()
        return thread

    def _read_events(self, stream: IO[bytes]) -> None:
        with stream:
            for line in lines_of(stream):
                event = event_of(line)
                if event is None:
                    self._keep(line)
                else:
                    self._inbox.put((self, event))
        self._inbox.put((self, None))

    def _read_errors(self, stream: IO[bytes]) -> None:
        with stream:
            for line in lines_of(stream):
                self._keep(line)

    def _keep(self, line: bytes) -> None:
        text = line[: 4 * _TAIL_LINE].decode(errors="replace").strip()
        self._tail.append("".join(c if c.isprintable() else "?" for c in text[:_TAIL_LINE]))


def lines_of(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield the lines of a stream; of an endless one only its beginning."""
    inside = False
    while line := stream.readline(_MOST_LINE):
        if not inside:
            yield line
        inside = not line.endswith(b"\n")


def event_of(line: bytes) -> dict[str, Any] | None:
    """Return the event of a line, with the values it must have and no others; None if it is none.

    Texts are cut to a length that a person can read.
    """
    if not line.startswith(b'{"event"') or not line.endswith(b"\n"):
        return None
    try:
        content = parse_json(line)
    except ValueError:
        return None
    kind = content.get("event")
    if not isinstance(kind, str) or kind not in EVENTS:
        return None
    event: dict[str, Any] = {"event": kind}
    for name, expected in EVENTS[kind].items():
        value = content.get(name)
        if expected is float and type(value) is int:
            value = float(value)
        if type(value) is not expected:
            return None
        event[name] = value[:_MOST_TEXT] if isinstance(value, str) else value
    return None if any(value < 0 for value in event.values() if type(value) is not str) else event


def ending(status: int) -> str:
    """Say how a process ended, by its exit status."""
    if status >= 0:
        return f"exit status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    hint = " (too little memory, as a rule)" if name == "SIGKILL" else ""
    return f"killed by {name}{hint}"

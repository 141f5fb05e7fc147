"""How a program ends: with its result, with one line that a person reads, or by a signal.

Python raises `KeyboardInterrupt` wherever the main thread happens to be. Inside a callback of the
garbage collector (JAX has one) or a finalizer it is printed and forgotten, and the program goes on.
So signals are noted as well: an exception that got lost that way is raised again in the line that
the callback came between, and one that got lost in any other way at the next safe point,
`stop_if_interrupted()`.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

# Ctrl-C, what `kill` and batch systems send, and what a terminal sends that is closed.
_SIGNALS = [getattr(signal, n) for n in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, n)]
_ONE_PRESS_SECONDS = 1.0  # wrappers pass on a signal that the terminal sent to everybody already

_noted: tuple[int, float] | None = None  # the signal that asked for the end, and when
_at_once = False  # whether `run` leaves without taking anything down


class UserError(Exception):
    """Something outside the program is wrong: a file, a setting, a missing package.

    The message is one line that names the file or key, what was expected and what to do.
    """


class WriteError(UserError):
    """A result cannot be written: no fault of one video, the next one would meet it too."""


class Interrupted(KeyboardInterrupt):
    """A signal asks the program to end.

    Attributes:
        signal: its number.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.signal = number


def run(main: Callable[[], int | None]) -> None:
    """Run an entry point and exit.

    Args:
        main: the program; its result is the exit status (`None` counts as 0).

    Raises:
        SystemExit: always. 2 with one line for a `UserError`, or where the system refuses a file
            or memory;
            128 + n with a word for signal n (Ctrl-C 130, SIGTERM 143, a closed terminal 129);
            141 in silence where nobody reads the output any more.
    """
    try:
        with _noticing_signals():
            status = main() or 0
            sys.stdout.flush()  # here, where a full disk can still be told
    except UserError as error:
        status = _say(f"error: {' '.join(str(error).split())}", 2)
    except KeyboardInterrupt as error:
        number = error.signal if isinstance(error, Interrupted) else signal.SIGINT
        word = "interrupted" if number == signal.SIGINT else "terminated"
        status = _say(f"{word}; run the same command again to go on", 128 + number)
    except BrokenPipeError:
        status = 128 + 13
    except MemoryError as error:
        said = " ".join(str(error).split())
        status = _say(f"error: not enough memory{f': {said}' if said else ''}", 2)
    except OSError as error:
        if error.strerror is None:  # not from the system: a fault of the program
            raise
        where = f"{error.filename}: " if error.filename else ""
        status = _say(f"error: {where}{error.strerror}", 2)
    _let_go_of_broken_output()
    if _at_once:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    raise SystemExit(status)


def end_at_once() -> None:
    """Have `run` leave without taking libraries down, one of which would abort the process then."""
    global _at_once
    _at_once = True


def stop_if_interrupted() -> None:
    """A safe point: raises `Interrupted` if a signal asked for the end and was not heard."""
    if _noted is not None and threading.current_thread() is threading.main_thread():
        raise Interrupted(_noted[0])


@contextmanager
def _noticing_signals() -> Iterator[None]:
    """Within it, signals raise `Interrupted` in the main thread; a second one ends at once.

    A signal that was ignored before (`nohup`, `&` in a script) stays ignored.
    """
    global _noted
    if threading.current_thread() is not threading.main_thread():
        yield  # signals belong to the main thread
        return
    _noted = None
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    hook = sys.unraisablehook
    for number, handler in before.items():
        if handler not in (signal.SIG_IGN, None):
            signal.signal(number, _note)

    def notice_loss(lost: "sys.UnraisableHookArgs") -> None:
        ours = lost.exc_type is not None and issubclass(lost.exc_type, Interrupted)
        if ours:
            _raise_in(sys._getframe(1))  # the finalizer's own frame is gone: whom it interrupted
        else:
            hook(lost)

    sys.unraisablehook = notice_loss
    try:
        yield
    finally:
        _noted = None
        sys.unraisablehook = hook
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)


def _note(number: int, frame: object) -> None:
    global _noted
    now = time.monotonic()
    if _noted is None:
        _noted = number, now
        raise Interrupted(number)
    if now - _noted[1] > _ONE_PRESS_SECONDS:  # whoever asks again does not want to wait
        os._exit(128 + number)


def _raise_in(frame: FrameType) -> None:
    """Raise the exception once more in a frame's next line, by way of the debugger's hook.

    If the frame is a finalizer's itself, it is lost again, and the next one out gets it.
    """
    before = sys.gettrace()

    def trace(frame: FrameType, event: str, argument: object) -> None:
        frame.f_trace = None
        sys.settrace(before)
        stop_if_interrupted()

    frame.f_trace = trace
    sys.settrace(lambda *_: None)


def _say(text: str, status: int) -> int:
    with suppress(OSError):  # the terminal may be gone
        print(text, file=sys.stderr, flush=True)
    return status


def _let_go_of_broken_output() -> None:
    """Keep the interpreter from failing at its end over output that has no way out."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

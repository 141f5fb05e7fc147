"""Errors that a person reads: one line that says what is wrong, where, and what to do."""

import sys
from collections.abc import Callable


class UserError(Exception):
    """Something outside the program is wrong: a file, a setting, a missing package.

    The message is one line that names the file or key, what was expected and what to do.
    """


def run(main: Callable[[], int | None]) -> None:
    """Run an entry point and exit: 2 with one line for a `UserError`, 130 for Ctrl-C.

    Args:
        main: the program; its result is the exit status (`None` counts as 0).

    Raises:
        SystemExit: always.
    """
    try:
        status = main() or 0
    except UserError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        status = 2
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on", file=sys.stderr)
        status = 130
    raise SystemExit(status)

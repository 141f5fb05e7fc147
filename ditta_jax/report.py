"""One page of a run to look at in a browser; of several runs, side by side.

    python -m ditta_jax.report RUN [RUN …] [--out FILE]

RUN is the folder of a finished run. The page is one file that needs nothing else, no network
either: RUN/report.html of one run, ./report.html of several, or FILE.

Example: python -m ditta_jax.report runs/demo
"""

import argparse
import sys
from pathlib import Path
from typing import NoReturn

from ditta_jax.errors import UserError, run


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"python -m ditta_jax.report: {message}; see --help")


def main() -> None:
    """Read the words after the program's name, and write the page."""
    parser = _Parser(
        prog="python -m ditta_jax.report",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", metavar="RUN", nargs="+", type=Path)
    parser.add_argument("--out", metavar="FILE", type=Path)
    given = parser.parse_args(sys.argv[1:])
    out = given.out or (given.runs[0] / "report.html" if len(given.runs) == 1 else None)
    out = out or Path("report.html")

    from ditta_jax.files import refuse_foreign_file
    from ditta_jax.runs.page.page import is_page, write_page

    refuse_foreign_file(out, is_page)
    write_page(given.runs, out)
    print(f"{out}: {out.stat().st_size / 2**20:.1f} MB; open it in a browser")


if __name__ == "__main__":
    run(main)

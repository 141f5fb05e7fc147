"""docs/robustness.md, written by the tests that try what people bring.

    python -m pytest -m robustness --write-robustness

A test of such a case is marked `robustness(AREA, GIVEN, HAPPENS)` and hands the message that a
person reads to the fixture `said`. The page is a table of all of them; `test_robustness.py` fails
where a case is missing on the page.
"""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parent.parent / "docs" / "robustness.md"
HEAD = """# What happens with what people bring

Written by the tests (`python -m pytest -m robustness --write-robustness`); each row is a test that
runs in CI. Where a message is shown, it is what the program says; paths are shortened.
"""
_MESSAGES = pytest.StashKey[str]()


@pytest.fixture
def said(request):
    """Keeps the message of a case for the page: `said(str(error))`; returns it."""

    def keep(message):
        request.node.stash[_MESSAGES] = message
        return message

    return keep


def pytest_addoption(parser):
    parser.addoption("--write-robustness", action="store_true", help=f"write {PAGE.name}")


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "robustness(area, given, happens): a row of docs/robustness.md"
    )


def cases(items):
    """(area, given, happens, message) of all marked tests; parametrised ones count once each."""
    rows = {}
    for item in items:
        for mark in item.iter_markers("robustness"):
            rows.setdefault(mark.args, "")
            rows[mark.args] = rows[mark.args] or item.stash.get(_MESSAGES, "")
    return [(*args, message) for args, message in rows.items()]


def row(given, happens, message):
    return f"| {_cell(given)} | {_cell(happens)} | {_cell(_shortened(message))} |"


def page(rows):
    lines = [HEAD]
    for area in dict.fromkeys(area for area, *_ in rows):
        lines += [f"\n## {area}\n", "| given | what happens | message |", "|---|---|---|"]
        lines += [row(*rest) for where, *rest in rows if where == area]
    return "\n".join(lines) + "\n"


def pytest_sessionfinish(session):
    if session.config.getoption("--write-robustness"):
        PAGE.write_text(page(cases(session.items)))


def _shortened(message):
    message = re.sub(r"(/[^\s:,;'\"()]*)/pytest-of-[^/]+/pytest-\d+/[^/\s:,;'\"()]+", "…", message)
    message = re.sub(r"/(?:[\w.@+-]+/)*(?=ditta_jax/|teacher_bridge/|tests/)", "…/", message)
    return " ".join(message.split())


def _cell(text):
    return text.replace("|", "\\|").replace("\n", " ")

from pathlib import Path

import pytest

from tests import robustness


def test_the_page_lists_every_case(request):
    """Only where all tests were collected; the page is written by the command that it names."""
    asked, option = [Path(word).name for word in request.config.args], request.config.option
    if asked != ["tests"] or option.markexpr or option.keyword:
        pytest.skip("a part of the tests was asked for")
    text = robustness.PAGE.read_text()
    for area, given, happens, _ in robustness.cases(request.session.items):
        assert f"## {area}\n" in text
        assert robustness.row(given, happens, "")[:-3] in text, f"{given}: write the page anew"


def test_machine_paths_are_shortened():
    message = "/tmp/pytest-of-me/pytest-3/test_a0/x.png: cut off"
    assert robustness.page([("Frames", "a | b", "refused", message)]).splitlines()[-1] == (
        "| a \\| b | refused | …/x.png: cut off |"
    )

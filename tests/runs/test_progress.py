import io

import pytest
from rich.console import Console

from ditta_jax.runs import progress as module
from ditta_jax.runs.progress import RunProgress, duration


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    return now


def run(console, clock):
    with RunProgress(3, console) as progress:
        progress.skip("[old]")
        with progress.video("b"):
            with progress.stage("A student", 2) as advance:
                advance()
                advance()
            clock[0] += 90
        left = progress.seconds_left()
        with progress.video("c"):
            clock[0] += 2
    return left


def test_plain_lines_without_a_terminal(clock):
    out = io.StringIO()
    assert run(Console(file=out, width=40), clock) == 90
    assert out.getvalue().splitlines() == [
        "[1/3] [old]: already done",
        "[2/3] b: A student (2)",
        "[2/3] b: done in 1 min 30 s, about 1 min 30 s left",
        "[3/3] c: done in 2.0 s",
    ]


def test_videos_side_by_side(clock):
    out = io.StringIO()
    with RunProgress(4, Console(file=out, width=40)) as progress:
        progress.skip("a")
        with progress.videos(["b", "c"]):
            with progress.stage("A student", 3, "c"):
                pass
            with progress.stage("C adaptation"):
                clock[0] += 20
        assert progress.seconds_left() == 10
    assert out.getvalue().splitlines() == [
        "[1/4] a: already done",
        "[3/4] c: A student (3)",
        "[2-3/4] b to c: C adaptation",
        "[2-3/4] b to c: done in 20.0 s, about 10.0 s left",
    ]


def test_a_bar_in_a_terminal(clock):
    out = io.StringIO()
    run(Console(file=out, width=120, force_terminal=True), clock)
    text = out.getvalue()
    assert "A student" in text
    assert "about 1 min 30 s left" in text
    assert "[3/3] c: done in 2.0 s" in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (59.94, "59.9 s"),
        (59.97, "1 min 00 s"),
        (61, "1 min 01 s"),
        (3599.7, "1 h 00 min"),
        (7500, "2 h 05 min"),
    ],
)
def test_duration(seconds, text):
    assert duration(seconds) == text

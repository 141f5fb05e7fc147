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


def test_scores_so_far_stand_with_each_video(clock):
    out = io.StringIO()
    with RunProgress(3, Console(file=out, width=40), done=1) as progress:
        for name, score in (("b", 55.07), ("c", 54.9)):
            progress.note(f"mIoU {score:.1f} so far")
            with progress.video(name):
                clock[0] += 4
    assert out.getvalue().splitlines() == [
        "[2/3] b: done in 4.0 s, mIoU 55.1 so far, about 4.0 s left",
        "[3/3] c: done in 4.0 s, mIoU 54.9 so far",
    ]


@pytest.mark.parametrize("terminal", [False, True])
def test_quiet_says_nothing(clock, terminal):
    out = io.StringIO()
    with module.quietly():
        run(Console(file=out, width=120, force_terminal=terminal), clock)
    assert out.getvalue() == ""
    with module.quietly(False):
        run(Console(file=out, width=120), clock)
    assert out.getvalue()


def test_every_step_is_a_safe_point_for_an_interruption(monkeypatch):
    from ditta_jax import errors

    with RunProgress(1, Console(file=io.StringIO())) as progress, progress.video("a"):
        with progress.stage("A student", 2) as advance:
            advance()
            monkeypatch.setattr(errors, "_noted", (2, 0.0))
            with pytest.raises(errors.Interrupted):
                advance()
        with pytest.raises(errors.Interrupted), progress.stage("B"):
            pass


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

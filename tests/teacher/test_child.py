import io
import json
import os
import sys

import pytest

from ditta_jax.errors import UserError
from ditta_jax.teacher.child import Child, ending, event_of, lines_of, new_inbox

VIDEO = {
    **{"event": "video", "entry": "a", "video": "a", "frames": 3, "objects": 2},
    **{"seconds": 1.5, "done": 1, "total": 2},
}


def line(**values):
    return json.dumps(values).encode() + b"\n"


def test_events_keep_what_they_must_have_and_nothing_else():
    assert event_of(line(**VIDEO, more=1)) == VIDEO
    assert event_of(line(**{**VIDEO, "seconds": 2}))["seconds"] == 2.0
    long = event_of(line(event="failed", entry="a", message="x" * 10_000))
    assert len(long["message"]) == 2000


@pytest.mark.parametrize(
    "bad",
    [
        b"\n",
        b"noise\n",
        b'{"event"\n',
        b'{"event": "video"}\n',
        b'{"event": "unknown"}\n',
        b'{"event": ["start"]}\n',
        b'{"event": {"a": 1}}\n',
        line(**VIDEO)[:-1],  # cut off: its end is missing
        line(**{**VIDEO, "frames": "3"}),
        line(**{**VIDEO, "frames": -3}),
        line(**{**VIDEO, "frames": True}),
        line(**{**VIDEO, "seconds": None}),
        line(**{**VIDEO, "video": 5}),
        b'{"event": "start", "total": NaN, "finished": 0}\n',
        b'{"event": "start", "total": 1, "total": 1, "finished": 0}\n',
        b'{"event": ' + b"[" * 50_000 + b"\n",
        b'{"event": "\xff\xfe"}\n',
    ],
)
def test_what_is_no_event_is_none(bad):
    assert event_of(bad) is None


def test_of_an_endless_line_only_the_beginning_is_read():
    stream = io.BytesIO(b"first\n" + b"x" * 300_000 + b"\n" + line(**VIDEO) + b"y" * 70_000)
    lines = list(lines_of(stream))
    assert [len(one) for one in lines] == [6, 1 << 16, len(line(**VIDEO)), 1 << 16]
    assert event_of(lines[2]) == VIDEO


def listen(child, inbox):
    events = []
    while (event := inbox.get(timeout=30)[1]) is not None:
        events.append(event)
    return events, child.wait(), child.last_words()


def python(program):
    return [sys.executable, "-c", program]


@pytest.mark.robustness(
    "Teacher and masklets",
    "a teacher that writes binary, endless, half or false lines beside its progress",
    "they are left out; the last readable ones are shown if it dies",
)
def test_noise_does_no_harm(said):
    program = f"""
import os, sys
os.write(1, bytes(range(256)) * 4000 + b"\\n")
os.write(1, {line(**VIDEO)!r})
os.write(1, b'{{"event": "video", "fra')
os.write(2, b"warning\\n" * 10_000 + b"\\x1b[31mred\\xff\\n" + b"e" * 500_000)
sys.exit(3)
"""
    inbox = new_inbox()
    with Child(python(program), dict(os.environ), inbox) as child:
        events, status, words = listen(child, inbox)
    assert (events, status) == ([VIDEO], 3)
    assert "?[31mred" in words and len(words) < 1000 and words.isprintable()
    said(f"the teacher stopped: {words[:60]}")


def test_a_flood_of_events_waits_instead_of_growing():
    program = f"import os\nwhile True: os.write(1, {line(event='ready')!r} * 100)"
    inbox = new_inbox()
    with Child(python(program), dict(os.environ), inbox) as child:
        for _ in range(3000):
            assert inbox.get(timeout=30)[1] == {"event": "ready"}
    assert inbox.qsize() <= 1000
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)


def test_a_child_that_ignores_being_asked_is_killed(monkeypatch):
    monkeypatch.setattr("ditta_jax.teacher.child._STOP_SECONDS", 0.5)
    program = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('{"event": "ready"}', flush=True)
time.sleep(60)
"""
    inbox = new_inbox()
    with Child(python(program), dict(os.environ), inbox) as child:
        inbox.get(timeout=30)
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)


def test_a_dead_child_may_be_told_things():
    inbox = new_inbox()
    with Child(python(""), dict(os.environ), inbox) as child:
        assert listen(child, inbox) == ([], 0, "")
        child.tell("something")


def test_what_cannot_be_started_is_named():
    with pytest.raises(UserError, match="teacher.python: /nowhere/python: cannot be run"):
        Child(["/nowhere/python"], {}, new_inbox())


def test_endings():
    assert ending(3) == "exit status 3"
    assert ending(-9).startswith("killed by SIGKILL (too little memory")
    assert ending(-15) == "killed by SIGTERM"
    assert ending(-99) == "killed by signal 99"

"""In which order student and teacher are asked, and that stage A runs only so far ahead."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from ditta_jax.configuration import default_config
from ditta_jax.errors import UserError
from ditta_jax.runs import exchange as module
from ditta_jax.runs.exchange import Exchange, StandingTeacher, videos_ahead
from ditta_jax.runs.failures import Failures
from ditta_jax.runs.timeline import Timeline
from tests.imagined import sessions

NAMES = tuple("abcdef")


class Kept(dict):
    """Warm-ups by name, and the most that were there at once."""

    most = 0

    def put(self, name):
        self[name] = name
        self.most = max(self.most, len(self))

    def take(self, name):
        return self.pop(name)


@pytest.fixture
def make(monkeypatch):
    """Makes an exchange over six videos, with a journal of what happens."""

    def made(answer=lambda name: None, ahead=2, unreadable=(), all_at_once=False):
        journal = []

        def label(work, video, progress):
            if video in unreadable:
                raise UserError(f"{video}: cannot be read")
            journal.append(f"A {video}")
            return video

        def told(cache, settings, entries, on_progress):
            (entry,) = entries
            journal.append(f"ask {entry.name}")
            message = answer(entry.name)
            return {entry.name: message} if message else {}

        def open_session(*arguments):
            session = sessions(told)(*arguments)
            session.all_at_once = all_at_once
            return session

        monkeypatch.setattr(module.process, "open_session", open_session)
        monkeypatch.setattr(module.teaching, "label", label)
        monkeypatch.setattr(module.teaching, "requests_of", lambda *of: {"masklets": of[1]})
        monkeypatch.setattr(module, "write_request", lambda cache, video, frames: Path(video))

        class Video(str):
            frames = ()

        config = default_config()
        config.parallel.ahead = ahead
        videos = SimpleNamespace(names=NAMES, named=Video)
        work = SimpleNamespace(
            config=config, videos=videos, cache=None, teacher={"teacher": "x"}, timeline=Timeline()
        )
        progress = SimpleNamespace(say=journal.append)
        failures, kept = Failures(), Kept()
        return Exchange(work, NAMES, kept, failures, progress), journal, failures, kept

    return made


def go_through(exchange, journal, failures, kept, groups=NAMES):
    with exchange:
        for group in groups:
            exchange.bring(group)
            for name in group:
                if name not in failures:
                    kept.take(name)
                    journal.append(f"adapt {name}")


def test_the_student_is_two_videos_ahead_and_no_more(make):
    exchange, journal, failures, kept = make()
    go_through(exchange, journal, failures, kept)
    assert journal[:7] == ["A a", "ask a", "A b", "ask b", "A c", "ask c", "adapt a"]
    assert journal[7:10] == ["A d", "ask d", "adapt b"]
    assert [word for word in journal if word[:3] == "ask"] == [f"ask {name}" for name in NAMES]
    assert kept.most == 3 and not kept and not failures


def test_a_teacher_that_stays_is_opened_once(make, monkeypatch):
    exchange, journal, failures, kept = make()
    opened, open_session = [], module.process.open_session

    def counted(*arguments):
        opened.append(arguments)
        return open_session(*arguments)

    monkeypatch.setattr(module.process, "open_session", counted)
    work, progress = exchange._work, exchange._progress
    with StandingTeacher(work) as teacher:
        for names in ("abc", "def"):
            one = Exchange(work, names, kept, failures, progress, teacher)
            go_through(one, journal, failures, kept, names)
    assert len(opened) == 1
    assert [word for word in journal if word[:5] == "adapt"] == [f"adapt {n}" for n in NAMES]


def test_groups_are_brought_whole(make):
    exchange, journal, failures, kept = make(ahead=1)
    go_through(exchange, journal, failures, kept, ["ab", "cd", "ef"])
    first = journal.index("adapt a")
    assert [word for word in journal[:first] if word[0] == "A"] == ["A a", "A b", "A c"]
    assert kept.most == 3


def test_one_after_the_other_where_asked_for(make):
    exchange, journal, failures, kept = make(ahead=0)
    go_through(exchange, journal, failures, kept)
    assert journal[:6] == ["A a", "ask a", "adapt a", "A b", "ask b", "adapt b"]
    assert kept.most == 1


def test_a_teacher_elsewhere_gets_all_requests_first(make):
    exchange, journal, failures, kept = make(all_at_once=True)
    go_through(exchange, journal, failures, kept)
    assert journal.index("adapt a") == 2 * len(NAMES)


def test_what_student_or_teacher_cannot_do_keeps_none_from_the_others(make):
    said = {"c": "it fell asleep"}
    exchange, journal, failures, kept = make(said.get, unreadable=("b", "e"))
    go_through(exchange, journal, failures, kept)
    assert [word for word in journal if word[:5] == "adapt"] == ["adapt a", "adapt d", "adapt f"]
    assert failures == {"b": "b: cannot be read", "c": "it fell asleep", "e": "e: cannot be read"}
    assert not kept


def test_every_worker_of_the_teacher_has_something_to_do():
    config = default_config()
    assert videos_ahead(config) == 2
    config.teacher.workers = 4
    assert videos_ahead(config) == 4
    config.teacher.device = "cuda:0,cuda:1,cuda:2,cuda:3,cuda:4"
    assert videos_ahead(config) == 5
    config.parallel.ahead = 0
    assert videos_ahead(config) == 0

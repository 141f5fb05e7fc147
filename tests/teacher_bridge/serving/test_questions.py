"""Teachers that are asked one by one."""

import queue
import threading

import pytest

from teacher_bridge.serving.pool import Pool
from teacher_bridge.serving.questions import Heard
from teacher_bridge.serving.serve import answer
from tests.teacher_bridge.serving.test_pool import make_cache, tried, workers  # noqa: F401
from tests.teacher_bridge.serving.test_serve import IDENTITY, KEY, ScriptedTeacher, cache  # noqa: F401


@pytest.fixture
def asked():
    """A queue of names, as `lifeline.follow_parent` gives it."""
    return queue.Queue()


def test_names_are_heard_until_an_empty_one(cache, asked):  # noqa: F811
    told = []
    folders = sorted(cache.iterdir())
    for name in (folders[1].name, "../up", folders[0].name, ""):
        asked.put(name)
    heard = Heard(asked, cache, told.append)
    assert heard.take(wait=True) == [folders[1], folders[0]] and heard.ended
    assert [event["entry"] for event in told] == ["../up"] and "no name" in told[0]["message"]
    assert heard.take(wait=True) == []


def test_nothing_named_yet_is_nothing_to_wait_for_unless_asked_to(cache, asked):  # noqa: F811
    heard = Heard(asked, cache, print)
    assert heard.take(wait=False) == [] and not heard.ended
    threading.Timer(0.1, asked.put, [next(cache.iterdir()).name]).start()
    assert len(heard.take(wait=True)) == 1 and not heard.ended


def test_one_teacher_answers_as_it_is_asked(cache, asked):  # noqa: F811
    folders = sorted(cache.iterdir())
    events = []

    def report(event):
        events.append(event["event"])
        if event["event"] == "video":  # the next question comes after the answer
            asked.put(folders[len(teacher.asked)].name if len(teacher.asked) < 3 else "")

    asked.put(folders[0].name)
    teacher = ScriptedTeacher()
    assert answer(Heard(asked, cache, report), teacher, IDENTITY, KEY, report) == []
    assert teacher.asked == ["a", "b", "c"] and teacher.prepared == 1
    assert events == ["ready"] + ["begin", "video"] * 3


def test_a_pool_answers_as_it_is_asked(make_cache, asked):  # noqa: F811
    place = make_cache(4)
    folders = sorted(place.iterdir())
    answered = []

    def report(event):
        if event["event"] == "video":
            answered.append(event["video"])
            if len(answered) == 2:
                for folder in folders[2:]:
                    asked.put(folder.name)
                asked.put("")

    for folder in folders[:2]:
        asked.put(folder.name)
    assert Pool(workers(place, 2), report).answer(Heard(asked, place, report)) == []
    assert sorted(answered) == sorted(tried(place)) == ["v0", "v1", "v2", "v3"]
    assert set(answered[:2]) == {"v0", "v1"}

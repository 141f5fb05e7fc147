import pytest

from ditta_jax.errors import UserError
from ditta_jax.teacher.cache import masklets_path, read_entry, read_masklets, write_request
from teacher_bridge.search.tracks import find_masklets
from teacher_bridge.serving.entries import find_entries, watch
from teacher_bridge.serving.serve import serve
from tests.teacher_bridge.scenes import (
    ListedFrames,
    ScriptedTracker,
    central_reliability,
    moving_squares,
    request_for,
)

IDENTITY, KEY = {"teacher": "scripted"}, "5c" * 32
IMAGES, LABELS = moving_squares(2, (24, 32))


class ScriptedTeacher:
    """Knows the scene; fails where it is told to."""

    def __init__(self, failing=(), interrupted_at=None):
        self.failing, self.interrupted_at = failing, interrupted_at
        self.prepared, self.asked = 0, []

    def prepare(self):
        self.prepared += 1

    def answer(self, entry, alive):
        self.asked.append(entry.request.video)
        if entry.request.video in self.failing:
            raise UserError(f"{entry.folder}: unreadable frame")
        if entry.request.video == self.interrupted_at:
            raise KeyboardInterrupt
        return find_masklets(ScriptedTracker(LABELS), entry.request)


@pytest.fixture
def cache(tmp_path):
    for video in "abc":
        request = request_for(LABELS, central_reliability(LABELS), 3, video=video)
        write_request(tmp_path, request, ListedFrames(IMAGES))
    return tmp_path


def run(cache, teacher):
    events = []
    failures = serve(find_entries(cache, ()), teacher, IDENTITY, KEY, events.append)
    assert [e["video"] for e in events if e["event"] == "begin"] == teacher.asked
    return [e for e in events if e["event"] not in ("begin", "ready")], failures


def test_every_request_is_answered_once(cache):
    teacher = ScriptedTeacher()
    events, failures = run(cache, teacher)
    assert (teacher.asked, teacher.prepared, failures) == (["a", "b", "c"], 1, [])
    assert events[0] == {"event": "start", "total": 3, "finished": 0}
    assert [(e["video"], e["done"], e["total"]) for e in events[1:]] == [
        ("a", 1, 3),
        ("b", 2, 3),
        ("c", 3, 3),
    ]
    assert all(event["frames"] == 2 and event["objects"] == 3 for event in events[1:])
    for folder in find_entries(cache, ()):
        provenance = read_masklets(folder, KEY).provenance
        assert provenance["teacher"] == "scripted" and len(provenance["prompts"]) == 3
        assert "numpy" in provenance["versions"] and provenance["seconds"] >= 0
    events, _ = run(cache, again := ScriptedTeacher())
    assert (again.asked, again.prepared) == ([], 0)
    assert events == [{"event": "start", "total": 0, "finished": 3}]


def test_a_damaged_answer_is_computed_again(cache):
    run(cache, ScriptedTeacher())
    path = masklets_path(find_entries(cache, ())[1], KEY)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    run(cache, teacher := ScriptedTeacher())
    assert teacher.asked == ["b"]
    assert read_masklets(path.parent, KEY) is not None


def test_a_failing_video_does_not_stop_the_others(cache):
    teacher = ScriptedTeacher(failing={"b"})
    events, failures = run(cache, teacher)
    assert teacher.asked == ["a", "b", "c"]
    assert [event["event"] for event in events] == ["start", "video", "failed", "video"]
    assert len(failures) == 1 and failures[0].endswith("unreadable frame")


def test_an_interruption_loses_the_current_video_only(cache):
    with pytest.raises(KeyboardInterrupt):
        run(cache, ScriptedTeacher(interrupted_at="b"))
    run(cache, teacher := ScriptedTeacher())
    assert teacher.asked == ["b", "c"]


def test_an_entry_without_whole_request_is_named_and_left(cache):
    folder = find_entries(cache, ())[0]
    path = folder / "request.json"
    path.write_bytes(path.read_bytes()[:-20])
    _, failures = run(cache, ScriptedTeacher())
    assert len(failures) == 1 and "request.json: damaged" in failures[0]


def test_entries_are_found_by_name(cache):
    everything = find_entries(cache, ())
    assert [read_entry(folder).request.video for folder in everything] == ["a", "b", "c"]
    assert find_entries(cache, [everything[2].name] * 2) == [everything[2]]
    with pytest.raises(UserError, match="nothing-here: no request"):
        find_entries(cache, ["nothing-here"])
    with pytest.raises(UserError, match="no such cache"):
        find_entries(cache / "nothing", ())


def test_watching_yields_each_entry_once(cache):
    found = watch(cache, (), seconds=0.01)
    assert next(found) == find_entries(cache, ())
    request = request_for(LABELS, central_reliability(LABELS), 3, video="later")
    late = write_request(cache, request, ListedFrames(IMAGES))
    assert next(found) == [late]

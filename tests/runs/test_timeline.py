import time

import numpy as np
import pytest

from ditta_jax.runs.timeline import Timeline, overlap


def counted(spans):
    """Which thousandths of a second are in any of the spans."""
    busy = np.zeros(40_000, bool)
    for begin, end in spans:
        busy[round(1000 * begin) : round(1000 * end)] = True
    return busy


@pytest.mark.parametrize("seed", range(5))
def test_the_overlap_is_that_of_a_count_of_moments(seed):
    random = np.random.default_rng(seed)
    timelines, student, teacher = [], [], []
    for v in range(4):
        started = float(v % 2)  # two processes; each has its own time
        spans = np.sort(random.integers(0, 15_000, (5, 2)) / 1000, axis=1).tolist()
        timelines.append(
            {
                "started": started,
                "student": [["C", *span] for span in spans[:3]],
                "teacher": spans[3:],
            }
        )
        shift = 20 * (v % 2)
        student += [(shift + b, shift + e) for b, e in spans[:3]]
        teacher += [(shift + b, shift + e) for b, e in spans[3:]]
    busy = counted(student), counted(teacher)
    both = (busy[0] & busy[1]).sum()
    found = overlap(timelines)
    assert found["student_seconds"] == pytest.approx(busy[0].sum() / 1000, abs=2e-3)
    assert found["teacher_seconds"] == pytest.approx(busy[1].sum() / 1000, abs=2e-3)
    assert found["both_seconds"] == pytest.approx(both / 1000, abs=2e-3)
    assert found["hidden"] == pytest.approx(both / min(b.sum() for b in busy), abs=2e-3)


def test_without_a_teacher_nothing_is_hidden():
    only = {"started": 1.0, "student": [["A", 0.0, 1.0], ["C", 1.0, 3.0]], "teacher": []}
    assert overlap([only]) == {
        "student_seconds": 3.0,
        "teacher_seconds": 0.0,
        "both_seconds": 0.0,
        "hidden": None,
    }
    assert overlap([])["hidden"] is None


def test_a_timeline_has_the_spans_of_each_video():
    timeline = Timeline()
    before = time.time()
    timeline.teacher_begins("a-0123")
    with timeline.student("A", "b"):
        time.sleep(0.02)
    with timeline.student("C", "a", "b"):
        pass
    timeline.teacher_ends("a-0123", "a")
    timeline.teacher_ends("never begun", "c")
    a, b = timeline.of("a"), timeline.of("b")
    assert [stage for stage, *_ in a["student"]] == ["C"]
    assert [stage for stage, *_ in b["student"]] == ["A", "C"] and b["teacher"] == []
    ((begin, end),) = a["teacher"]
    assert begin <= b["student"][0][1] <= b["student"][0][2] <= end < 10
    assert b["student"][0][2] - b["student"][0][1] >= 0.02
    assert abs(a["started"] - before) < 10
    nothing = {"student": [], "teacher": [], "loading": []}
    assert timeline.of("c") == {"started": a["started"], **nothing}


def test_the_start_of_the_teacher_is_kept_with_the_first_video_it_answers():
    timeline = Timeline()
    timeline.teacher_ready()  # of no process that was started here
    timeline.teacher_loads()
    time.sleep(0.02)
    timeline.teacher_ready()
    for entry in ("a-01", "b-02"):
        timeline.teacher_begins(entry)
        timeline.teacher_ends(entry, entry[0])
    a, b = timeline.of("a"), timeline.of("b")
    ((begin, end),) = a["loading"]
    assert end - begin >= 0.02 and end <= a["teacher"][0][0]
    assert b["loading"] == [] and len(b["teacher"]) == 1

import pytest

from ditta_jax.errors import UserError
from ditta_jax.files import seal
from ditta_jax.runs import shares as shares_module
from ditta_jax.runs.shares import Shares

NAMES = [f"v{i}" for i in range(8)]


def two(run, names=NAMES, least=1):
    """The shares as each of two processes sees them."""
    first, second = (Shares(run, names, process, 2, least) for process in range(2))
    first.plan()
    second.check_plan()
    return first, second


def test_each_video_is_in_one_share(tmp_path):
    for least in (1, 3, 100):
        first, _ = two(tmp_path, least=least)
        found = []
        for share in first.each():
            assert len(share.videos) in (least, len(NAMES) % least, len(NAMES))
            found += share.videos
            first.finish(share, {})
        assert sorted(found) == NAMES


def test_a_process_does_its_own_first_and_helps_then(tmp_path):
    first, second = two(tmp_path)
    mine, others = first.each(), second.each()
    taken = [next(mine).number, next(others).number, next(mine).number, next(others).number]
    # none was finished: the second time round each goes on with what is next
    assert taken == [0, 1, 2, 3]
    for numbers, expected in ((mine, [4, 6, 7]), (others, [5])):
        assert [next(numbers).number for _ in expected] == expected


def test_what_a_dead_process_was_at_is_taken_over(tmp_path, monkeypatch):
    monkeypatch.setattr(shares_module, "_LOOK_SECONDS", 0.01)
    first, second = two(tmp_path, NAMES[:2])
    others = second.each()
    assert next(others).videos == ("v1",)
    mine = first.each()
    first.finish(next(mine), {})
    others.close()  # its lock is dropped, as at the death of its process
    share = next(mine)
    assert share.videos == ("v1",)
    first.finish(share, {"v1": "no frames"})
    assert list(mine) == [] and list(second.each()) == []
    assert first.failures() == second.failures() == {"v1": "no frames"}


def test_what_an_earlier_run_left_counts_for_nothing(tmp_path):
    first, _ = two(tmp_path)
    for share in first.each():
        first.finish(share, {})
    again, _ = two(tmp_path)
    assert next(again.each()).number == 0


def test_processes_of_different_runs_are_told(tmp_path):
    first, second = two(tmp_path)
    with pytest.raises(UserError, match="finds other videos than process 1"):
        Shares(tmp_path, NAMES[1:], 1, 2).check_plan()
    (tmp_path / ".shares" / "plan.json").write_bytes(seal({"shares": []})[:-4])
    with pytest.raises(UserError, match="ended before it began"):
        second.check_plan()

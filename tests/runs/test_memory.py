"""The most memory that a part of the work holds, apart from what came before it."""

import numpy as np
import pytest

from ditta_jax.runs import memory, results

MB = 2**20


def hold(megabytes):
    return float(np.ones(megabytes * MB // 8).sum())


def test_the_mark_is_of_the_watched_part_only():
    before = memory.of_process()
    hold(400)
    with memory.watched() as small:
        hold(50)
    with memory.watched() as large:
        hold(200)
    if small.bytes is None:
        pytest.skip("this system's high-water mark cannot be set back")
    assert 100 * MB < large.bytes - small.bytes < 200 * MB
    assert memory.of_process() >= max(before, small.bytes + 300 * MB)  # of all of it, still
    assert results.peak_memory()["bytes"] == memory.of_process()


def test_where_the_mark_cannot_be_set_back_nothing_is_claimed(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "_RESET", tmp_path / "none" / "clear_refs")
    with memory.watched() as peak:
        hold(1)
    assert peak.bytes is None

import json
import sys

import pytest

pytest.importorskip("sam2")

from teacher_bridge.benchmark import arrivals, main  # noqa: E402


def test_both_trackers_run_and_agree(nano_weights, monkeypatch, capsys):
    arguments = ["--checkpoint", str(nano_weights), "--device", "cpu", "--frames", "4"]
    arguments += ["--height", "60", "--width", "90"]
    monkeypatch.setattr(sys, "argv", ["benchmark", *arguments])
    main()
    ours, plain, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert (ours["tracker"], plain["tracker"]) == ("ours", "sam2")
    assert ours["objects"] == plain["objects"] == 4
    assert ours["frames_encoded"] == 4 < plain["frames_encoded"]
    assert last["differing_pixels_of_all_masks"] < 1e-4


def test_prompts_are_inside_and_the_same_every_time():
    clicks = arrivals(7, (10, 20))
    assert clicks == arrivals(7, (10, 20))
    assert [click.frame for click in clicks] == [0, 0, 3, 3, 6, 6]
    assert all(0 <= click.y < 10 and 0 <= click.x < 20 for click in clicks)

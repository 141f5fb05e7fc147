import json

import pytest

pytest.importorskip("sam2")

from ditta_jax.errors import UserError  # noqa: E402
from teacher_bridge.benchmark.__main__ import main, mean_iou, row_of  # noqa: E402
from teacher_bridge.benchmark.clip import arrivals  # noqa: E402


def test_both_trackers_run_and_agree(nano_weights, tmp_path, capsys):
    out = tmp_path / "cells.json"
    arguments = ["--checkpoint", str(nano_weights), "--device", "cpu", "--cells", "3x4"]
    assert main([*arguments, "--height", "60", "--width", "90", "--out", str(out)]) == 0
    ours, plain = json.loads(out.read_text())["cells"]
    assert [one["cell"]["tracker"] for one in (ours, plain)] == ["ours", "sam2"]
    assert ours["frames_encoded"] == 4 < plain["frames_encoded"]
    assert 0 < ours["bytes_before"] <= ours["peak_bytes"]
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("| 3 × 4 | sam2 | ") and float(last.split("|")[-2]) >= 0.999


def test_prompts_are_inside_and_the_same_every_time():
    clicks = arrivals(7, 6, (10, 20))
    assert clicks == arrivals(7, 6, (10, 20))
    assert [click.frame for click in clicks] == [0, 0, 3, 3, 6, 6]
    assert [click.frame for click in arrivals(200, 2, (10, 20))] == [0, 99]
    assert [click.frame for click in arrivals(2, 3, (10, 20))] == [0, 0, 0]
    assert all(0 <= click.y < 10 and 0 <= click.x < 20 for click in clicks)


def test_overlap_counts_objects_that_only_one_has():
    import numpy as np

    from ditta_jax.teacher import mask_rle

    left, all_ = np.zeros((2, 4), bool), np.ones((2, 4), bool)
    left[:, :2] = True
    one = [[(1, mask_rle.encode(left))], []]
    other = [[(1, mask_rle.encode(all_))], [(2, mask_rle.encode(left))]]
    assert mean_iou(one, one, (2, 4)) == 1.0
    assert mean_iou(one, other, (2, 4)) == pytest.approx((0.5 + 0.0) / 2)


def test_the_table_says_how_many_times_faster():
    cell = {"objects": 2, "frames": 4, "tracker": "ours", "size": (2, 4)}
    one = {"cell": cell, "seconds": 2.0, "frames_encoded": 4, "peak_bytes": 5e8, "runs": []}
    plain = {**one, "seconds": 5.0, "cell": {**cell, "tracker": "sam2"}}
    assert row_of(one, None) == ["2 × 4", "ours", "0.500", "4", "0.50", "", ""]
    assert row_of(plain, one)[5] == "2.50"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--cells", "3"], "objects x frames"),
        (["--trackers", "theirs"], "ours, sam2 or both"),
        (["--random"], "--random is for a configuration"),
        (["--height", "0"], "--height: pixels, 16"),
        (["--width", "99999"], "--width: pixels, 16"),
        (["--objects-at-once", "-1"], "--objects-at-once: 0"),
    ],
)
def test_what_cannot_be_measured_is_refused(words, said, capsys):
    with pytest.raises(SystemExit):
        main(words)
    assert said in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_told_before_anything_is_measured(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file is a file and not a folder"):
        main(["--out", str(tmp_path / "file" / "out.json")])

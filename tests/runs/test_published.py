import math

from ditta_jax.runs.published import beside_published, published_rows


def test_rows_of_the_paper():
    rows = {row.method: row.scores for row in published_rows("vspw", 10)}
    assert rows["ditta"] == {"mIoU": 51.1, "wIoU": 66.5, "mVC8": 94.1, "mVC16": 92.2}
    assert {row.method for row in published_rows("vspw", 50.0)} == {"frozen", "zero_shot", "ditta"}
    assert published_rows("vspw", 33) == []


def test_a_run_beside_the_paper():
    scores = {"mIoU": 0.5, "wIoU": 0.665, "mVC8": math.nan, "mVC16": None}
    head, line = beside_published({"ditta": scores, "own": scores}, "vspw", 10)
    assert head.startswith("beside the paper (vspw, 10 % warm-up")
    assert line.startswith("  ditta: mIoU 50.0 - 51.1 = -1.1, wIoU 66.5 - 66.5 = +0.0, mVC8 – - 94")
    assert line.endswith("[the authors' table]")


def test_nothing_to_compare_with():
    assert beside_published({}, "", 10) == []
    (line,) = beside_published({}, "ade20k_to_vspw", 10)
    assert line == "the paper has no row of ade20k_to_vspw at 10 % warm-up"

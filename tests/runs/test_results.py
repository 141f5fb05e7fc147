import io

from rich.console import Console

from ditta_jax.runs import result_table, results

FROZEN = {
    "title": "frozen student",
    "protocol": "freeze",
    "frames_per_second": 2.0,
    "preparation_seconds": 0.0,
    "kept_frozen": {},
}
DITTA = FROZEN | {"title": "DiTTA", "frames_per_second": 1.5, "preparation_seconds": 12.25}


def table(methods, **more):
    out = io.StringIO()
    found = {"methods": methods, "videos": [{"scored": 3}, {"scored": 4}]} | more
    result_table.print_table(found, Console(file=out, width=120))
    return out.getvalue()


def rows(text):
    lines = [line.split("│")[1:-1] for line in text.splitlines() if "│" in line]
    return {first.strip(): [cell.strip() for cell in cells] for first, *cells in lines}


def test_the_table_shows_percent_cost_and_what_each_gains_over_the_first():
    scores = {"mIoU": 0.5, "mVC8": 0.875, "class_iou": {"road": 0.5}}
    better = scores | {"mIoU": 0.5125, "mVC8": 0.75}
    tent = DITTA | {"title": "TENT", "protocol": "online", "frames_per_second": None}
    text = table({"frozen": scores | FROZEN, "ditta": better | DITTA, "tent": scores | tent})
    found = rows(text)
    assert found["frozen student"] == ["50.00", "87.50", "2.00", "0.00 s"]
    assert found["DiTTA"] == ["51.25", "75.00", "1.50", "12.25 s"]
    assert found["TENT, online"] == ["50.00", "87.50", "-", "12.25 s"]
    assert found["DiTTA − frozen student"] == ["+1.25", "-12.50", "", ""]
    assert found["TENT, online − frozen student"] == ["+0.00", "+0.00", "", ""]
    assert "2 videos, 7 scored frames" in text and "failed" not in text


def test_undefined_scores_are_dashes():
    found = rows(table({"frozen": {"mIoU": None} | FROZEN, "ditta": {"mIoU": None} | DITTA}))
    assert found["DiTTA − frozen student"][0] == found["DiTTA"][0] == "-"


def test_without_a_ground_truth_the_table_holds_the_cost():
    assert rows(table({"ditta": DITTA})) == {"DiTTA": ["1.50", "12.25 s"]}


def test_what_does_not_count_is_said_under_the_table():
    kept = DITTA | {"kept_frozen": {"street": "the loss is nan (pass 2, frame 3)"}}
    text = table({"ditta": {"mIoU": 0.5} | kept}, failed={"night": "night: 1.jpg is cut off"})
    assert "DiTTA *" in rows(text)
    assert "* street: DiTTA keeps the frozen student's labels: the loss is nan" in text
    assert "failed, not in the table: night: 1.jpg is cut off" in text
    assert "2 videos, 7 scored frames, 1 failed" in text


def test_environment_names_versions_and_devices():
    found = results.environment()
    assert found["packages"]["flax"].count(".") >= 1
    assert found["devices"].startswith("1 x ")  # what tests/conftest.py asks for
    assert found["cores"] >= 1


def test_peak_memory_says_whose_it_is():
    found = results.peak_memory()
    assert found["bytes"] > 50e6 and "this process" in found["of"]

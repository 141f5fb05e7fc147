import io

from rich.console import Console

from ditta_jax.runs import results


def table(methods):
    out = io.StringIO()
    videos = [{"scored": 3}, {"scored": 4}]
    results.print_table({"methods": methods, "videos": videos}, Console(file=out, width=100))
    return out.getvalue()


def test_the_table_shows_percent_and_the_gain():
    iss = {"mIoU": 0.5, "mVC8": 0.875, "class_iou": {"road": 0.5}}
    text = table({"iss": iss, "ditta": iss | {"mIoU": 0.5125, "mVC8": 0.75}})
    rows = {
        line.split("│")[1].strip(): line.split("│")[2:-1]
        for line in text.splitlines()
        if "│" in line
    }
    assert [cell.strip() for cell in rows["frozen student"]] == ["50.00", "87.50"]
    assert [cell.strip() for cell in rows["DiTTA"]] == ["51.25", "75.00"]
    assert [cell.strip() for cell in rows["gain"]] == ["+1.25", "-12.50"]
    assert "2 videos, 7 scored frames" in text


def test_undefined_scores_are_dashes():
    text = table({"iss": {"mIoU": None}, "ditta": {"mIoU": None}})
    assert [line.split("│")[2].strip() for line in text.splitlines() if "gain" in line] == ["-"]


def test_environment_names_versions_and_devices():
    found = results.environment()
    assert found["packages"]["flax"].count(".") >= 1
    assert found["devices"].startswith("1 x ")  # what tests/conftest.py asks for
    assert found["cores"] >= 1

"""The benchmark refuses to compare different work, and reports what it measured."""

import dataclasses
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest

from ditta_jax.benchmark import __main__ as command
from ditta_jax.benchmark import plots, report, rivals, workload
from ditta_jax.benchmark.growth import Curve, Point
from ditta_jax.benchmark.measurement import Measurement
from ditta_jax.errors import UserError

SVG = "{http://www.w3.org/2000/svg}"


def measured(rival, step, **changes):
    result = Measurement(rival, "framework 1", "cpu", matmul_flops=1e10)
    result.losses = [[2.0, None, 1.0], [2.5, 2.25, 0.5]]
    result.step, result.peak_bytes = [step] * 3, int(2e9)
    result.plain_frame, result.fused_frame = [1.0, 9.0, 2.0], [3.0, 3.0, 3.0]
    return dataclasses.replace(result, **changes)


def test_losses_must_agree():
    one = measured("torch-direct", 10.0)
    near = measured("jax", 1.0, losses=[[2.0, None, 1.0], [2.5, 2.25 * (1 + 5e-5), 0.5]])
    assert rivals.check_losses([one, near])["jax"] == pytest.approx(5e-5)
    far = measured("jax", 1.0, losses=[[2.0, None, 1.0], [2.5, 2.251, 0.5]])
    with pytest.raises(UserError, match="losses of jax differ.*not the same computation"):
        rivals.check_losses([one, far])
    other = measured("jax", 1.0, losses=[[2.0, 2.0, 1.0], [2.5, 2.25, 0.5]])
    with pytest.raises(UserError, match="terms"):
        rivals.check_losses([one, other])
    nothing = measured("jax", 1.0, losses=[[2.0, None, 1.0], [2.5, 2.25, float("nan")]])
    with pytest.raises(UserError, match="differ"):
        rivals.check_losses([one, nothing])


def test_a_step_includes_a_fifth_of_a_frames_encoding():
    assert rivals.step_seconds(measured("jax", 2.0, encode=[1.0, 5.0, 1.0])) == 2.2
    assert rivals.step_seconds(measured("torch-direct", 2.0)) == 2.0


def test_table_shows_medians_and_ratios():
    rows = report.table([measured("torch-direct", 10.0), measured("jax", 0.5, step_flops=1e9)])
    direct, ours = rows.splitlines()[-2:]
    assert "| 10 | 1.0 | 2 | 3 | 1.50 | 2.00 |" in direct
    assert "| 0.5 | 20.0 | 2 | 3 | 1.50 | 2.00 |" in ours
    assert ours.endswith("| 20 % |")  # 1e9 operations in 0.5 s of 1e10 a second
    assert direct.endswith("| - |")


def test_files_are_complete(tmp_path):
    runs = [measured("torch-direct", 10.0), measured("jax", 0.5)]
    point = measured("jax", 0.5, whole_pass=[1.0], encode=[0.1])
    curves = [Curve("classes", [Point(19.0, point), Point(124.0, point)])]
    report.write(tmp_path, workload.Size(), runs, {"jax": 0.0}, curves)
    assert plots.draw(tmp_path / "benchmark.svg", report.panels(runs, curves))
    content = json.loads((tmp_path / "benchmark.json").read_text())
    assert content["rivals"][1]["step"] == [0.5] * 3
    assert content["curves"][0]["points"][1]["value"] == 124.0
    assert content["machine"]["cores"] >= 1
    root = ElementTree.parse(tmp_path / "benchmark.svg").getroot()
    titles = {"".join(text.itertext()) for text in root.iter(f"{SVG}text")}
    assert {"one adaptation step", "fused frame", "peak memory by classes"} <= titles
    assert "classes" in report.curves_table(curves)


def test_bars_are_as_long_as_their_values(tmp_path):
    bars = plots.Bars("a < b", ["x", "y"], [1.0, 4.0], "s")
    for name in ("one.svg", "two.svg"):
        assert plots.draw(tmp_path / name, [bars])
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    colours = dict.fromkeys(plots.COLOURS[:2])
    for path in ElementTree.parse(tmp_path / "one.svg").iter(f"{SVG}path"):
        for colour in colours:
            if f"fill: {colour}" in path.get("style", ""):
                places = [float(x) for x in re.findall(r"[ML] ([\d.]+)", path.get("d"))]
                colours[colour] = max(places) - min(places)
    short, long = colours.values()
    assert long == pytest.approx(4 * short, rel=0.001)


def test_without_matplotlib_there_is_no_plot_and_a_word(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert not plots.draw(tmp_path / "one.svg", [plots.Bars("", ["x"], [1.0], "s")])
    assert not (tmp_path / "one.svg").exists() and "ditta-jax[plots]" in plots.MISSING


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rivals", "jax,tf"], "no 'tf'"),
        (["--size", "480"], "480x853"),
        (["--student", "B9"], "B0"),
        (["--classes", "0"], "--classes"),
        (["--objects", "300"], "--objects"),
    ],
)
def test_bad_options_get_one_line(arguments, message):
    with pytest.raises(UserError, match=message):
        command.parse(arguments)


def test_a_rival_that_fails_is_named(tmp_path):
    from ditta_jax.benchmark.measurement import Task

    with pytest.raises(UserError, match="jax_rival failed: .*size.json"):
        rivals.run_rival(tmp_path, Task("jax", threads=1))


def test_workload_is_a_function_of_its_size(tmp_path):
    size = workload.Size(height=64, width=70, classes=5, objects=3, frames=3)
    for name in ("one", "two"):
        workload.write(tmp_path / name, size)
    one, two = (workload.read(tmp_path / name) for name in ("one", "two"))
    assert one.size == size
    assert one.frames.shape == (3, 3, 64, 96)
    assert one.labels.shape == one.object_ids.shape == (3, 64, 70)
    assert one.frames.tobytes() == two.frames.tobytes()
    assert all(one.weights[key].tobytes() == two.weights[key].tobytes() for key in one.weights)
    assert one.object_ids.max() <= 3 and set(one.labels[one.labels != 255]) <= set(range(5))


def test_the_command_measures_two_rivals_that_agree(tmp_path):
    pytest.importorskip("torch")
    arguments = ["--rivals", "torch-eager,jax", "--size", "64x64", "--classes", "5"]
    arguments += ["--objects", "3", "--steps", "1", "--frames", "1", "--threads", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "ditta_jax.benchmark", *arguments, "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "| (d) ditta_jax |" in done.stdout
    content = json.loads((tmp_path / "benchmark.json").read_text())
    assert content["loss_differences"]["jax"] < rivals.LOSS_TOLERANCE
    assert all(m["peak_bytes"] > 1e8 and m["step"][0] > 0 for m in content["rivals"])


@pytest.mark.robustness(
    "Settings and command line",
    "a place for the benchmark's results that cannot be written",
    "refused before anything is measured",
)
def test_the_place_of_the_results_is_tried_before_measuring(tmp_path, monkeypatch, said):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(rivals, "write_workload", lambda *_: pytest.fail("work was done"))
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        monkeypatch.setattr(sys, "argv", ["benchmark", "--out", str(out)])
        with pytest.raises(UserError, match=str(tmp_path / "file")) as caught:
            command.main()
        said(str(caught.value))


@pytest.mark.parametrize("name", ["benchmark.json", "benchmark.svg"])
def test_somebodys_figures_are_kept(name, tmp_path, monkeypatch):
    (tmp_path / name).write_text("{}")
    monkeypatch.setattr(rivals, "write_workload", lambda *_: pytest.fail("work was done"))
    monkeypatch.setattr(sys, "argv", ["benchmark", "--out", str(tmp_path)])
    with pytest.raises(UserError, match=f"{name}: exists, and this program did not write it"):
        command.main()
    assert (tmp_path / name).read_text() == "{}"

"""Programs are compiled for accelerators that are not here, where their compilers are installed."""

import json
import os
import subprocess
import sys

import pytest

from ditta_jax.benchmark import chips, compile_for
from ditta_jax.benchmark.compiled_cell import Cell, Compiled
from ditta_jax.benchmark.workload import Size
from ditta_jax.errors import UserError
from ditta_jax.runs.lock import FolderLock
from tests.compilation import flags

SIZES = ("480", "²x480", "480x", "480x853x3", "63x480", "-480x853", "99999x99999")
SMALL = Size("B0", 64, 96, 5, 3, 2)


def options(*words):
    return compile_for.parse([f"--compile-for={words[0]}", *words[1:]])


@pytest.fixture
def compilers(monkeypatch):
    """What the Makefile installed, for this test and the processes that it starts."""
    monkeypatch.setenv("XLA_FLAGS", flags(1, optimised=True))
    if folder := os.environ.get("DITTA_COMPILERS"):
        monkeypatch.syspath_prepend(folder)
        monkeypatch.setenv("PYTHONPATH", folder, prepend=os.pathsep)


@pytest.mark.parametrize("name", sorted(chips.CHIPS))
def test_an_adaptation_compiles_for(name, compilers):
    if not chips.has_compiler(name):
        pytest.skip(f"no compiler for {name} is installed: make test COMPILERS=all")
    result = compile_for.compile_apart(Cell(name, "bfloat16", SMALL, "adaptation"))
    assert not result.error and result.scatters == 0
    assert result.seconds > 0 and result.arguments > result.feature_bytes > 0
    tells_cycles = chips.CHIPS[name].platform == "tpu"
    assert bool(result.cycles) == tells_cycles and result.unknown_loops == 0
    assert not tells_cycles or {"window_attention", "cross_entropy"} <= set(result.cycles)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["v5e,v9"], "--compile-for: there is no 'v9'; these are: v5e"),
        (["v5e", "--students=B7"], "--students: there is no 'B7'"),
        (["v5e", "--dtypes=float16"], "--dtypes: there is no 'float16'"),
        (["v5e", "--programs=stage B"], "--programs: there is no 'stage B'"),
        *((["v5e", f"--size={size}"], f"--size: '{size}' is not like 480x853") for size in SIZES),
        (["v5e", "--warm-up-frames=0"], "--warm-up-frames must be"),
    ],
)
def test_values_that_do_not_exist_are_refused(words, message, monkeypatch):
    monkeypatch.setattr(chips, "has_compiler", lambda name: True)
    with pytest.raises(UserError) as error:
        options(*words)
    assert message in str(error.value)


def test_a_missing_compiler_is_named_before_any_work(monkeypatch):
    monkeypatch.setattr(chips, "_installed", lambda package: False)
    with pytest.raises(UserError, match=r"TPU v5e \(libtpu\) is not installed; pip install"):
        options("v5e")


def test_every_cell_of_the_table_is_asked_for(monkeypatch):
    monkeypatch.setattr(chips, "has_compiler", lambda name: True)
    cells = compile_for.cells(options("v5e,h100", "--students=B0,B5"))
    assert [(c.chip, c.size.student, c.compute, c.program) for c in cells[2:5]] == [
        ("v5e", "B0", "float32", "stage D"),
        ("v5e", "B0", "bfloat16", "adaptation"),
        ("v5e", "B0", "bfloat16", "stage A"),
    ]
    assert len(cells) == 24 and cells[0].size.height == 480


def test_the_table_says_what_does_not_compile_and_what_cycles_mean():
    good = Compiled("", 2.0, 2**20, 0, 3 * 2**20, 0)
    good.cycles, good.runs = {"decoder": 30_000_000, "other": 0}, 10
    cells = [Cell("v5e", "bfloat16", SMALL, program) for program in ("adaptation", "stage D")]
    rows = {cells[0]: good, cells[1]: Compiled("no tile sizes")}
    lines = compile_for.table(rows).splitlines()
    assert lines[-2].endswith("| adaptation | yes | 2 | 1 | 3 | 0 | 2.0 |")
    assert "**no**: no tile sizes" in lines[-1]
    assert "decoder 2.00 |" in compile_for.parts_table(rows)


def test_a_compiler_that_dies_is_a_result(monkeypatch):
    dead = subprocess.CompletedProcess([], -6, "", "F0000 check failed\n")
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: dead)
    result = compile_for.compile_apart(Cell("v5e", "bfloat16", SMALL, "stage A"))
    assert "killed by signal 6" in result.error


def test_the_command_fails_where_a_program_does_not_compile(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(chips, "has_compiler", lambda name: True)
    monkeypatch.setattr(compile_for, "compile_apart", lambda cell: Compiled("no tile sizes"))
    words = ["--compile-for=h100", "--students=B0", "--dtypes=float32", f"--out={tmp_path}"]
    assert compile_for.main(words) == 1
    assert "no tile sizes" in capsys.readouterr().out
    first, *_ = json.loads((tmp_path / "compiled.json").read_text())["programs"]
    assert first["result"]["error"] == "no tile sizes" and first["estimated_ms"] is None


def test_what_is_interrupted_goes_on_where_it_was(monkeypatch, tmp_path):
    monkeypatch.setattr(chips, "has_compiler", lambda name: True)
    asked = []

    def until(stop):
        def compile_apart(cell):
            if cell.program == stop:
                raise KeyboardInterrupt
            asked.append(cell.program)
            return Compiled(cycles={"decoder": 3}, seconds=1.5)

        return compile_apart

    words = ["--compile-for=v5e", "--students=B0", "--dtypes=float32", f"--out={tmp_path}"]
    monkeypatch.setattr(compile_for, "compile_apart", until("stage D"))
    with pytest.raises(KeyboardInterrupt):
        compile_for.main(words)
    monkeypatch.setattr(compile_for, "compile_apart", until(None))
    assert compile_for.main([*words, "--resume"]) == 0
    assert asked == ["adaptation", "stage A", "stage D"]


def compiled(monkeypatch, tmp_path, *words):
    """`compiled.json` after a call in which every program compiles at once."""
    monkeypatch.setattr(chips, "has_compiler", lambda name: True)
    done = Compiled(cycles={"decoder": 3}, seconds=1.5, jax="9.9")
    monkeypatch.setattr(compile_for, "compile_apart", lambda cell: done)
    plain = ["--compile-for=v5e", "--students=B0", "--dtypes=float32", f"--out={tmp_path}"]
    assert compile_for.main([*plain, *words]) == 0
    return tmp_path / "compiled.json"


def test_a_resumed_table_says_which_version_compiled_what(monkeypatch, tmp_path):
    file = compiled(monkeypatch, tmp_path, "--programs=adaptation")
    old = json.loads(file.read_text())
    del old["programs"][0]["result"]["jax"]
    file.write_text(json.dumps(old | {"jax": "0.1"}))  # as an earlier version noted it
    rows = json.loads(compiled(monkeypatch, tmp_path, "--resume").read_text())["programs"]
    assert [row["result"]["jax"] for row in rows] == ["0.1", "9.9", "9.9"]


@pytest.mark.robustness(
    "Settings and command line",
    "a `compiled.json` that is to be resumed and is cut, edited or something else",
    "refused before anything is compiled, the file kept",
)
@pytest.mark.parametrize(
    "harm",
    [
        lambda text: "{}",
        lambda text: "[]",
        lambda text: "a thesis",
        lambda text: text[: len(text) // 2],
        lambda text: text.replace('"seconds": 1.5', '"seconds": "1.5"'),
        lambda text: text.replace('"seconds": 1.5', '"seconds": NaN'),
        lambda text: text.replace('"seconds": 1.5', '"seconds": -1.5'),
        lambda text: text.replace('"decoder": 3', '"decoder": null'),
        lambda text: text.replace('"runs": 1', '"runs": 0'),
        lambda text: text.replace('"runs": 1', '"turns": 1'),
        lambda text: text.replace('"chip": "v5e"', '"chip": "v9"'),
        lambda text: text.replace('"programs": [', '"programs": [7,'),
    ],
)
def test_results_that_are_none_are_not_resumed(monkeypatch, tmp_path, said, harm):
    file = compiled(monkeypatch, tmp_path)
    file.write_text(harmed := harm(file.read_text()))
    with pytest.raises(UserError, match=r"compiled\.json: ") as error:
        compiled(monkeypatch, tmp_path, "--resume")
    said(str(error.value))
    assert file.read_text() == harmed


def test_somebody_elses_file_of_that_name_stays(monkeypatch, tmp_path):
    (tmp_path / "compiled.json").write_text("a thesis")
    with pytest.raises(UserError, match="this program did not write it"):
        compiled(monkeypatch, tmp_path)
    (tmp_path / "compiled.json").unlink()
    (tmp_path / "compiled.json").mkdir()
    with pytest.raises(UserError, match="is a folder"):
        compiled(monkeypatch, tmp_path, "--resume")


def test_two_at_once_do_not_write_over_each_other(monkeypatch, tmp_path):
    with FolderLock(tmp_path), pytest.raises(UserError, match="another run writes here"):
        compiled(monkeypatch, tmp_path)


def test_the_coordinator_needs_no_framework():
    code = (
        "import sys; from ditta_jax.benchmark import compile_for; assert 'jax' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

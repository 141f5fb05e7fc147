"""The list of commands, the commands by name, and the report of versions."""

import importlib.util
import sys
from pathlib import Path

import pytest

import ditta_jax
from ditta_jax import __main__ as program
from ditta_jax.configuration import from_command_line


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"]])
def test_every_command_is_listed_with_an_example(words, capsys):
    program.main(words)
    said = capsys.readouterr().out
    for name, does, example in program.COMMANDS:
        assert does in said and f"ditta-jax {example}" in said
        assert example.split()[0] == name


def test_every_command_with_a_file_of_its_own_is_in_the_list():
    files = Path(ditta_jax.__file__).parent.glob("*.py")
    runs = {file.stem for file in files if 'if __name__ == "__main__"' in file.read_text()}
    named = {name for name, _, _ in program.COMMANDS}
    assert runs - {"__main__"} <= named
    for name in named - {"env"}:
        assert importlib.util.find_spec(f"ditta_jax.{name}"), name


@pytest.mark.robustness(
    "Settings and command line",
    "a command that does not exist",
    "one line with the command that was meant",
)
@pytest.mark.parametrize(("word", "hint"), [("adpat", "did you mean adapt?"), ("xyz", "there are")])
def test_a_misspelt_command_is_answered_by_the_one_meant(word, hint, capsys, said):
    with pytest.raises(SystemExit) as stopped:
        program.main([word])
    error = capsys.readouterr().err
    said(error)
    assert stopped.value.code == 2 and error.count("\n") == 1 and hint in error


def test_a_command_gets_the_words_after_its_name(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["ditta-jax"])
    monkeypatch.delitem(sys.modules, "ditta_jax.adapt", raising=False)  # as in a new process
    with pytest.raises(SystemExit) as stopped:
        program.main(["adapt", "--config", "none.py"])
    assert stopped.value.code == 2
    assert "none.py: no such file" in capsys.readouterr().err


def test_env_names_versions_and_devices(capsys):
    with pytest.raises(SystemExit) as stopped:
        program.main(["env"])
    said = capsys.readouterr().out
    assert stopped.value.code == 0
    assert sys.version.split()[0] in said and "(cpu)" in said and "ditta-jax" in said


def test_env_says_what_is_broken(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ditta_jax.runs.results", None)
    with pytest.raises(SystemExit) as stopped:
        program.main(["env"])
    assert stopped.value.code == 0
    assert "devices    none: ModuleNotFoundError" in capsys.readouterr().out


def test_a_bare_name_is_the_packages_own_configuration(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for words in (["--config", "demo"], ["--config=demo"]):
        assert from_command_line("ditta_jax.adapt", arguments=words)[0].name == "demo"


def test_a_file_here_comes_before_the_packages_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = "from ditta_jax.configuration import default_config as get_config\n"
    Path("demo").write_text(text)
    assert from_command_line("ditta_jax.adapt", arguments=["--config", "demo"])[0].name == "unnamed"

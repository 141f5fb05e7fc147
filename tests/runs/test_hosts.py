"""A run of two processes on this machine, as on two hosts."""

import signal
import socket
import subprocess
import sys

import jax
import pytest

from ditta_jax.configuration import default_config
from ditta_jax.configuration.check import checked
from ditta_jax.errors import UserError
from ditta_jax.runs import hosts
from tests import small_run

AREA = "Run folders"
VIDEOS = 4


TEACHER = "--config.teacher.config=ground-truth"


@pytest.fixture
def folder(tmp_path):
    small_run.make(tmp_path, VIDEOS)
    return tmp_path


@pytest.fixture
def alone(folder):
    """What the run gives where one process does it."""
    run = small_run.Run(folder, folder / "alone", TEACHER)
    assert run.end() == 0, "".join(run.lines)
    return small_run.content(folder / "alone")


def start_two(folder, output):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [TEACHER, f"--config.parallel.coordinator=127.0.0.1:{port}"]
    words.append("--config.parallel.processes=2")
    return [
        small_run.Run(folder, output, *words, f"--config.parallel.process={process}")
        for process in range(2)
    ]


def kill_at_work(run):
    """Once it adapts to a video."""
    while "C: DiTTA" not in "".join(run.lines[-1:]):
        assert run.listen(1), "".join(run.lines)
    run.process.kill()
    assert run.end() == -signal.SIGKILL


@pytest.mark.robustness(
    AREA, "one of a run's processes killed on its host", "another does its videos, same results"
)
@pytest.mark.robustness(
    AREA, "process 0 of several killed", "all end; the same command again has the same results"
)
def test_two_processes_of_which_each_dies_once_end_as_one(folder, alone, tmp_path):
    output = tmp_path / "two"
    first, second = start_two(folder, output)
    kill_at_work(first)
    assert second.end() != 0
    assert not (output / "run" / "result.json").exists()
    first, second = start_two(folder, output)
    kill_at_work(second)
    assert first.end() == 0, "".join(first.lines)
    assert small_run.content(output) == alone


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"processes": 2}, "go with an address of process 0 in 'parallel.coordinator'"),
        ({"coordinator": "auto", "process": 1}, "go with an address"),
        ({"coordinator": "10.0.0.1:80"}, "'parallel.processes' must be 2 or more"),
        ({"coordinator": "10.0.0.1:80", "processes": 2, "process": 2}, "must be below"),
        ({"coordinator": "10.0.0.1"}, "auto, an address such as 10.0.0.1:8476"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message):
    config = default_config()
    config.parallel.update(settings)
    with pytest.raises(UserError, match=message):
        checked(config)


def test_where_the_environment_tells_nothing_it_is_said(tmp_path, monkeypatch, said):
    def none_there(**where):
        assert "coordinator_address" not in where
        raise ValueError("coordinator_address should be defined.")

    monkeypatch.setattr(jax.distributed, "initialize", none_there)
    monkeypatch.setattr(jax.config, "update", lambda name, value: None)
    config = default_config()
    config.parallel.coordinator = "auto"
    with pytest.raises(UserError) as caught, hosts.joined(config.parallel, tmp_path):
        pass
    assert "did not meet" in said(str(caught.value)) and "address of process 0" in str(caught.value)


def test_adapted_students_are_kept_by_one_process_only():
    config = default_config()
    config.parallel.coordinator, config.tta.save = "auto", True
    with pytest.raises(UserError, match=r"'tta\.save' must be False"):
        checked(config)


@pytest.mark.robustness(
    AREA, "a run of several processes of which one never comes", "named by those that waited"
)
@pytest.mark.parametrize("process", [0, 1])
def test_who_waits_in_vain_says_so(tmp_path, process, said):
    """In a process of its own, which ends while JAX still waits."""
    with socket.socket() as own:  # a port that nobody has
        own.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{own.getsockname()[1]}"
    text = f"""
from pathlib import Path
from ditta_jax.configuration import default_config
from ditta_jax.errors import run
from ditta_jax.runs import hosts
hosts._MEETING_SECONDS = 2
config = default_config()
config.parallel.update({{"coordinator": "{address}", "processes": 2, "process": {process}}})
run(lambda: hosts.joined(config.parallel, Path("run")).__enter__())
"""
    ended = subprocess.run(
        [sys.executable, "-c", text], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 2, ended.stderr
    last = said(ended.stderr.splitlines()[-1])
    assert f"{address}: the run's processes did not meet (not all of them came in 2 s)" in last
    assert not (tmp_path / "run").exists()

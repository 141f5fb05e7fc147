import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ditta_jax.errors import UserError
from ditta_jax.runs.lock import NAME, FolderLock

REPOSITORY = Path(__file__).resolve().parent.parent.parent
AREA = "Run folders"
HOLDING = """
import sys, time
from pathlib import Path
from ditta_jax.runs.lock import FolderLock
with FolderLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(30)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of a folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )
    with process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@pytest.mark.robustness(AREA, "two runs of one name at once", "the second is refused at once")
def test_the_second_owner_is_refused_with_the_first_one_named(holder, tmp_path, said):
    with pytest.raises(UserError) as caught, FolderLock(tmp_path):
        pass
    message = said(str(caught.value))
    assert f"{tmp_path}: another run writes here (process {holder.pid} on " in message
    assert "give this one another name" in message and "\n" not in message


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_lock_dies_with_its_process(holder, tmp_path, number):
    holder.send_signal(number)
    holder.wait()
    with FolderLock(tmp_path):
        assert f"process {os.getpid()} on" in (tmp_path / NAME).read_text()


def test_a_process_that_the_owner_started_does_not_hold_the_lock(tmp_path):
    with FolderLock(tmp_path):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(20)"])
    try:
        with FolderLock(tmp_path):
            pass
    finally:
        child.kill()
        child.wait()


def test_the_same_process_is_no_second_owner_either(tmp_path):
    with FolderLock(tmp_path):
        with pytest.raises(UserError, match="another run writes here"), FolderLock(tmp_path):
            pass
        with pytest.raises(UserError), FolderLock(tmp_path):  # the refusal left the lock held
            pass
    with FolderLock(tmp_path):
        pass


def test_where_there_are_no_locks_it_says_so_and_goes_on(tmp_path, monkeypatch, caplog):
    import fcntl

    def no_locks(*_):
        raise OSError(37, os.strerror(37))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with FolderLock(tmp_path):
        pass
    assert "no locks here" in caplog.text


def test_the_owner_names_itself_since_when(tmp_path):
    with FolderLock(tmp_path):
        assert time.strftime("since %Y-%m-%d") in (tmp_path / NAME).read_text()

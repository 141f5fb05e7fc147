import os
import signal
import subprocess
import sys

from teacher_bridge.serving.claims import claim

KEY, OTHER = "1" * 64, "2" * 64


def test_one_at_a_time_for_each_teacher(tmp_path):
    with claim(tmp_path, KEY) as mine:
        assert mine
        with claim(tmp_path, KEY) as again, claim(tmp_path, OTHER) as of_another:
            assert not again and of_another
    with claim(tmp_path, KEY) as mine:
        assert mine
    assert not list(tmp_path.iterdir())


def test_a_claim_dies_with_its_process(tmp_path):
    program = f"""
from pathlib import Path
from teacher_bridge.serving.claims import claim
with claim(Path({str(tmp_path)!r}), {KEY!r}) as mine:
    print(mine, flush=True)
    input()
"""
    command = [sys.executable, "-c", program]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as process:
        assert process.stdout.readline() == b"True\n"
        with claim(tmp_path, KEY) as mine:
            assert not mine
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert list(tmp_path.iterdir())  # what it left behind is no claim
    with claim(tmp_path, KEY) as mine:
        assert mine


def test_a_link_in_the_claims_place_is_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    (tmp_path / f".claim-{KEY[:16]}").symlink_to(victim)
    with claim(tmp_path, KEY) as mine:
        assert mine  # without a lock
    assert victim.read_bytes() == b"mine"


def test_a_removed_claim_is_not_mistaken_for_one(tmp_path):
    with claim(tmp_path, KEY):
        os.unlink(tmp_path / f".claim-{KEY[:16]}")  # as the last owner does while we wait
        with claim(tmp_path, KEY) as mine:
            assert mine

"""Tests that need a process of their own, by what is fixed before JAX starts there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.compilation import OPTIMISED

APART = {"eight_devices": {"DITTA_TEST_DEVICES": "8"}, "optimised": {"DITTA_TEST_OPTIMISED": "1"}}
if OPTIMISED:  # this process is one for them
    del APART["optimised"]


@pytest.mark.parametrize("marker", APART)
def test_everything_that_is_marked(marker):
    tests = Path(__file__).parent
    files = [str(f) for f in tests.rglob("test_*.py") if f"mark.{marker}" in f.read_text()]
    command = [sys.executable, "-m", "pytest", "-q", "-m", marker, *files]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    done = subprocess.run(
        command,
        cwd=tests.parent,
        env=environment | APART[marker],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    assert " passed" in done.stdout

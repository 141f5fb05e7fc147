"""What several devices change: the tests marked `eight_devices`, in a process that has eight."""

import os
import subprocess
import sys
from pathlib import Path


def test_everything_that_needs_eight_devices():
    """Their number is fixed before JAX starts, so they cannot share a process with the others."""
    tests = Path(__file__).parent
    files = [str(f) for f in tests.rglob("test_*.py") if "mark.eight_devices" in f.read_text()]
    command = [sys.executable, "-m", "pytest", "-q", "-m", "eight_devices", *files]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    environment |= {"DITTA_TEST_DEVICES": "8", "XLA_FLAGS": ""}
    done = subprocess.run(
        command, cwd=tests.parent, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-5000:]
    assert " passed" in done.stdout

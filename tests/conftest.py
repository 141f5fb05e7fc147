"""Settings every test shares; must run before jax or torch is imported."""

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent

os.environ["JAX_PLATFORMS"] = "cpu"
# One device, as most people have; what is marked `eight_devices` runs in `test_eight_devices.py`.
DEVICES = int(os.environ.get("DITTA_TEST_DEVICES", "1"))
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + f" --xla_force_host_platform_device_count={DEVICES}"
).strip()
# No dtype and no axis is added in silence, in commands that tests start neither.
if os.environ.get("DITTA_TEST_STRICT", "1") != "0":
    os.environ["JAX_NUMPY_DTYPE_PROMOTION"] = "strict"
    os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"
# Compiled programs are kept between workers and runs: most of the suite's time is compilation.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(REPOSITORY / ".pytest_cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")
# One thread per worker: with two workers on two cores, more threads only wait for each other.
for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

import numpy as np  # noqa: E402
import pytest  # noqa: E402

pytest_plugins = ["tests.robustness", "tests.skips"]


def pytest_configure(config):
    config.addinivalue_line("markers", "eight_devices: needs the CPU as eight devices")


def pytest_collection_modifyitems(config, items):
    """Leave out what needs another number of devices; its own process runs it."""
    wanted = [
        item for item in items if (DEVICES == 8) == bool(item.get_closest_marker("eight_devices"))
    ]
    left_out = [item for item in items if item not in wanted]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = wanted


def shared_folder() -> Path:
    """Where the reference numbers and small real videos are, which are not in the repository."""
    return Path(os.environ.get("DITTA_SHARED", REPOSITORY.parent / "shared"))


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Folder with the reference numbers and small real videos, which are not in the repository."""
    folder = shared_folder()
    if not folder.is_dir():
        pytest.skip(f"no shared data at {folder}; set DITTA_SHARED to its folder to run this test")
    return folder


@pytest.fixture(scope="session")
def golden(shared_dir):
    """Arrays the authors' program computed on a small clip (lazily loaded, by key)."""
    path = shared_dir / "golden" / "reference_a.npz"
    if not path.is_file():
        pytest.skip(f"no reference numbers at {path}")
    with np.load(path) as arrays:
        yield arrays

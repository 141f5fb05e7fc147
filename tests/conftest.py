"""Settings every test shares; must run before jax or torch is imported."""

import os
from pathlib import Path

from tests.compilation import OPTIMISED, flags

REPOSITORY = Path(__file__).resolve().parent.parent

os.environ["JAX_PLATFORMS"] = "cpu"
# One device, as most people have; what is marked `eight_devices` runs in `test_apart.py`.
DEVICES = int(os.environ.get("DITTA_TEST_DEVICES", "1"))
os.environ["XLA_FLAGS"] = flags(DEVICES, OPTIMISED)
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
    config.addinivalue_line("markers", "optimised: needs programs as they are compiled for users")


def runs_here(item) -> bool:
    """Whether this process is one that a test can run in."""
    eight, optimised = (item.get_closest_marker(m) for m in ("eight_devices", "optimised"))
    return bool(eight) == (DEVICES == 8) and (OPTIMISED or not optimised)


def pytest_collection_modifyitems(config, items):
    """Leave out what needs a process of its own, and start those processes first: they are long."""
    wanted = [item for item in items if runs_here(item)]
    wanted.sort(key=lambda item: item.path.name != "test_apart.py")
    left_out = [item for item in items if not runs_here(item)]
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

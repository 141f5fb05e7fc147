"""Settings every test shares; must run before jax or torch is imported."""

import os
from pathlib import Path

# The CPU as eight devices, so that sharding is tested without accelerators.
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
).strip()
# One thread per worker: with two workers on two cores, more threads only wait for each other.
for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

import numpy as np  # noqa: E402
import pytest  # noqa: E402

pytest_plugins = ["tests.robustness"]
REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Folder with the reference numbers and small real videos, which are not in the repository."""
    folder = Path(os.environ.get("DITTA_SHARED", REPOSITORY.parent / "shared"))
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

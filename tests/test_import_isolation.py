"""Each process imports its own framework only; what both use imports neither."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent

PROGRAM = """
import importlib, json, sys

blocked, modules = json.loads(sys.argv[1]), json.loads(sys.argv[2])

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ImportError(f"{name} must not be imported here")

sys.meta_path.insert(0, Blocker())
failed = {}
for module in modules:
    try:
        importlib.import_module(module)
    except Exception as error:
        failed[module] = f"{type(error).__name__}: {error}"
print(json.dumps(failed))
"""


def modules_of(package):
    names = []
    for path in sorted((REPOSITORY / package).rglob("*.py")):
        parts = path.relative_to(REPOSITORY).with_suffix("").parts
        names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return names


def failures(modules, blocked):
    """Imports modules in a new process where some packages cannot be; returns who minded."""
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(blocked), json.dumps(modules)],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


# The benchmark's PyTorch rivals are programs of their own, run as processes.
RIVALS = "ditta_jax.benchmark.torch_rivals"


def test_student_needs_no_torch():
    ours = [name for name in modules_of("ditta_jax") if not name.startswith(RIVALS)]
    assert failures(ours, ["torch", "sam2", "torchvision"]) == {}


def test_torch_rivals_need_no_jax():
    pytest.importorskip("torch")
    rivals = [name for name in modules_of("ditta_jax") if name.startswith(RIVALS)]
    assert len(rivals) > 5
    assert failures(rivals, ["jax", "jaxlib", "flax", "optax"]) == {}


def test_benchmark_runs_on_few_packages():
    modules = [name for name in modules_of("ditta_jax") if name.startswith("ditta_jax.benchmark")]
    modules = [name for name in modules if not name.startswith(RIVALS)]
    blocked = ["cv2", "PIL", "av", "tensorflow_datasets", "array_record", "sam2", "matplotlib"]
    assert failures(modules, [*blocked, "tensorboardX", "torch"]) == {}


def test_teacher_needs_no_jax():
    pytest.importorskip("torch")
    pytest.importorskip("sam2")
    blocked = ["jax", "jaxlib", "flax", "optax", "orbax", "tensorflow"]
    assert failures(modules_of("teacher_bridge"), blocked) == {}


def test_what_lies_between_needs_no_framework():
    between = [
        "ditta_jax",
        "ditta_jax.errors",
        "ditta_jax.teacher.palette_masks",
        "ditta_jax.teacher.cache",
        "ditta_jax.teacher.identity",
        "ditta_jax.teacher.process",
        "teacher_bridge",
        "teacher_bridge.__main__",
        "teacher_bridge.serving.serve",
        "teacher_bridge.search.tracks",
    ]
    blocked = ["jax", "jaxlib", "flax", "optax", "orbax", "torch", "sam2", "tensorflow"]
    blocked += ["tensorflow_datasets", "array_record", "cv2", "PIL", "matplotlib", "ml_collections"]
    assert failures(between, blocked) == {}


def test_a_blocked_import_is_noticed(tmp_path):
    assert (
        "must not be imported"
        in failures(["json", "ditta_jax.errors"], ["ditta_jax"])["ditta_jax.errors"]
    )

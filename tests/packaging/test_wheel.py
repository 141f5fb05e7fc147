"""The wheel: what is in it, how large it is, and that it runs without the repository."""

import itertools
import os
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from PIL import Image

from ditta_jax.data.procedural.drive import video
from tests.compilation import flags

REPOSITORY = Path(__file__).resolve().parent.parent.parent
MOST_BYTES = 15 * 2**20
TRAINING = ("teacher_bridge/nano/training/", "ditta_jax/data/procedural/preview/", "tests/")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy of the repository's own files: nothing is left in the tree."""
    copy = tmp_path_factory.mktemp("tree")
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        (copy / name).write_bytes((REPOSITORY / name).read_bytes())
    for name in ("ditta_jax", "teacher_bridge", "configs"):
        (copy / name).symlink_to(REPOSITORY / name)
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--wheel-dir", str(out), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    (file,) = out.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The wheel unpacked into a folder, as pip would lay it."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def run_installed(installed, arguments, folder, **environment):
    """Runs a module of the unpacked wheel as users do, outside the repository, without git."""
    environment = {"XLA_FLAGS": flags(1, optimised=True), **environment}
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(installed), "PATH": "/nowhere", **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def write_street(folder, frames):
    """The first frames of one of the demo's videos with their labels, as files."""
    for index, picture in enumerate(itertools.islice(video((2, 0)), frames)):
        for part, values in (("origin", picture.frame), ("mask", picture.label)):
            path = folder / part / f"{index:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(path)


def test_it_is_small_and_holds_what_runs(wheel):
    assert wheel.stat().st_size <= MOST_BYTES
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    wanted = [
        path.relative_to(REPOSITORY).as_posix()
        for package in ("ditta_jax", "teacher_bridge")
        for path in (REPOSITORY / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]
    wanted = {name for name in wanted if not name.startswith(TRAINING)}
    assert wanted <= names
    assert "ditta_jax/configs/demo.py" in names


def test_what_made_the_demo_is_not_in_it(wheel):
    with zipfile.ZipFile(wheel) as archive:
        assert [name for name in archive.namelist() if name.startswith(TRAINING)] == []


def test_its_command_is_called_ditta_jax(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (entries,) = [n for n in archive.namelist() if n.endswith("entry_points.txt")]
        assert b"ditta-jax = ditta_jax.__main__:main" in archive.read(entries)
        (told,) = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
        text = archive.read(told).decode()
    assert (
        "Provides-Extra: teacher\n" in text and "rf-sam-2" in text and "Requires-Dist: jax" in text
    )


def test_the_versions_agree(wheel):
    version = wheel.name.split("-")[1]
    assert f'version = "{version}"' in (REPOSITORY / "pyproject.toml").read_text()


def test_sam_2_comes_from_the_wheel_that_was_compared():
    """rf-sam-2 1.0.3 is sam2 1.1.0 file by file, but for the image predictor, which is not used."""
    assert metadata.version("rf-sam-2") == "1.0.3"


def test_it_runs_outside_the_repository_without_git(installed, tmp_path):
    listed = run_installed(installed, ["ditta_jax"], tmp_path)
    assert listed.returncode == 0 and "ditta-jax adapt" in listed.stdout, listed.stderr
    write_street(tmp_path / "street", frames=12)
    words = ["--config", "demo", "--config.data.kind=folder", "--config.data.path=street"]
    words += ["--config.tta.iters=1"]
    ran = run_installed(installed, ["ditta_jax.adapt", *words], tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "DiTTA" in ran.stdout and (tmp_path / "runs" / "demo" / "result.json").is_file()

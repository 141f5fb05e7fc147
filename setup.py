"""Which packages a wheel holds; everything else about it is in pyproject.toml."""

from setuptools import find_packages, setup

# How the parts of the demo were made: in the repository, not in the wheel.
MAKING = ["*.nano.training", "*.procedural.preview"]

setup(
    packages=[
        *find_packages(include=["ditta_jax*", "teacher_bridge*"], exclude=MAKING),
        "ditta_jax.configs",  # so that `--config demo` works without the repository
    ],
    package_dir={"ditta_jax.configs": "configs"},
)

"""What tests of stages A and D share: a tiny student, a street, and its warm-up labelled."""

import pytest

from ditta_jax.algorithm.model import take_apart
from ditta_jax.algorithm.settings import Settings
from ditta_jax.runs import stages
from ditta_jax.students.student import new_student
from tests.runs.tiny_video import CONFIG, RandomFrames


@pytest.fixture(scope="package")
def settings():
    return Settings(scale=(32, 32))


@pytest.fixture(scope="package")
def model():
    return take_apart(new_student(CONFIG), "float32")


@pytest.fixture(scope="package")
def frames():
    return RandomFrames(5)


@pytest.fixture(scope="package")
def warm_up(model, frames, settings):
    return stages.label_warm_up(model, frames, settings, "street", stop=2)

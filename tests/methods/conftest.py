import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ditta_jax.algorithm.model import take_apart
from ditta_jax.methods.protocol import WarmUp
from ditta_jax.students.student import new_student
from tests.methods import tiny


@pytest.fixture(scope="module", autouse=True)
def double():
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def model(double):
    return take_apart(new_student(tiny.CONFIG), "float64")


@pytest.fixture(scope="module")
def warm_up(double):
    random = np.random.default_rng(0)
    features = [tiny.features_of(random) for _ in range(tiny.FRAMES)]
    images = [jnp.asarray(random.normal(size=(*tiny.INPUT, 3))) for _ in range(tiny.FRAMES)]
    labels = random.integers(0, 3, (tiny.FRAMES, *tiny.SIZE), np.uint8)
    reliability = random.random(labels.shape, np.float32)
    return WarmUp("street", features, images, labels, reliability, tiny.INPUT, features[-1])

"""Settings refuse what the computation cannot do, with one line."""

import math

import pytest

from ditta_jax.algorithm.settings import Settings
from ditta_jax.errors import UserError


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("lr", -1e-3, "lr must be a number 0 or more, not -0.001"),
        ("lr", math.nan, "lr must be a number 0 or more, not nan"),
        ("lr", "fast", "lr must be a number 0 or more, not 'fast'"),
        ("lr", True, "lr must be a number"),
        ("iters", 0, "iters must be a whole number 1 or more, not 0"),
        ("iters", 2.5, "iters must be a whole number"),
        ("dropout", 1.0, "dropout must be below 1, not 1.0"),
        ("momentum", 2.0, "momentum must be a number in 0 … 1, not 2.0"),
        ("temperature", 0.0, "temperature must be above 0"),
        ("threshold", math.inf, "threshold must be a number in 0 … 1"),
        ("train", "everything", "train must be one of decoder, .*, not 'everything'"),
        ("compute", "float8", "compute must be one of float32"),
        ("protocol", "later", "protocol must be one of freeze, online"),
        ("scale", 480, "scale must be two numbers of pixels"),
        ("scale", (480,), "scale must be two numbers"),
        ("divisor", 0, "divisor must be a whole number 1 or more"),
        ("seed", 2**32, "seed must be a whole number in 0 …"),
        ("area_power", -0.1, "area_power must be a number 0 or more"),
    ],
)
def test_values_that_do_not_exist_are_refused(name, value, words):
    with pytest.raises(UserError, match=words):
        Settings(**{name: value})


def test_whole_numbers_serve_as_real_ones():
    assert Settings(lr=1, weight_decay=0).lr == 1


def test_without_a_learning_rate_the_papers_holds():
    assert Settings().lr is None and Settings().hyperparameters().lr == 1e-3
    assert Settings(lr=0).hyperparameters().lr == 0

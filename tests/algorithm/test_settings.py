"""Settings refuse what the computation cannot do, with one line."""

import math

import pytest

from ditta_jax import ranges
from ditta_jax.algorithm.precision import COMPUTE, MATMUL
from ditta_jax.algorithm.settings import Settings
from ditta_jax.configuration.schema import flat
from ditta_jax.errors import UserError
from ditta_jax.runs.settings import KEYS
from ditta_jax.students.groups import GROUPS


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("lr", -1e-3, "lr must be in 0.0 … 1.0, not -0.001: it is out of range"),
        ("lr", math.nan, "lr must be in 0.0 … 1.0, not nan: it is not a finite number"),
        ("lr", "fast", r"lr must be float, not str \('fast'\)"),
        ("lr", True, "lr must be float, not bool"),
        ("iters", 0, "iters must be in 1 … 100000, not 0"),
        ("iters", 2.5, "iters must be int, not float"),
        ("dropout", 1.0, "dropout must be 0 or more and below 1, not 1.0"),
        ("momentum", 2.0, "momentum must be in 0.0 … 1.0, not 2.0"),
        ("temperature", 0.0, "temperature must be in 0.001 … 1000.0, not 0.0"),
        ("threshold", math.inf, "threshold must be in 0.0 … 1.0, not inf"),
        ("train", "everything", "train must be one of decoder, .*, not 'everything'"),
        ("compute", "float8", "compute must be one of float32"),
        ("protocol", "later", "protocol must be one of freeze, online"),
        ("scale", 480, "scale must be tuple of int, not int"),
        ("scale", (480,), "scale must be two numbers of pixels"),
        ("divisor", 0, "divisor must be in 1 … 1024, not 0"),
        ("seed", 2**32, "seed must be in 0 … 4294967295"),
        ("area_power", -0.1, "area_power must be in 0.0 … 100.0, not -0.1"),
    ],
)
def test_values_that_do_not_exist_are_refused(name, value, words):
    with pytest.raises(UserError, match=words):
        Settings(**{name: value})


def test_whole_numbers_serve_as_real_ones():
    settings = Settings(lr=1, weight_decay=0, scale=[480, 320])
    assert settings.lr == 1 and type(settings.lr) is float
    assert settings.scale == (480, 320)


def test_without_a_learning_rate_the_papers_holds():
    assert Settings().lr is None and Settings().hyperparameters().lr == 1e-3
    assert Settings(lr=0).hyperparameters().lr == 0


def test_every_setting_has_a_range_and_configurations_have_the_same():
    assert ranges.SETTINGS.keys() == vars(Settings()).keys() == KEYS.keys()
    configured = dict(flat())
    for name, key in KEYS.items():
        assert configured[key].range is ranges.SETTINGS[name], key
        if name != "lr":  # the teacher's, where it is not set
            assert configured[key].default == getattr(Settings(), name), key


@pytest.mark.parametrize(
    ("name", "there_are"),
    [("train", GROUPS), ("compute", COMPUTE), ("matmul", MATMUL)],
)
def test_choices_are_what_there_is(name, there_are):
    assert ranges.SETTINGS[name].words == f"one of {', '.join(there_are)}"

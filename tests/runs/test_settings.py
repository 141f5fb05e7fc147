"""From configurations to settings, and where the warm-up ends."""

import pytest

from ditta_jax.algorithm.settings import Settings
from ditta_jax.configuration import default_config
from ditta_jax.configuration.command_line import load
from ditta_jax.errors import UserError
from ditta_jax.runs import settings as run_settings
from ditta_jax.runs.settings import (
    first_scored,
    methods_of,
    settings_of,
    warm_up_length,
    with_teachers_own,
)


@pytest.fixture
def config():
    return default_config()


@pytest.mark.parametrize(
    ("frames", "percent", "warmup", "first"),
    [(70, 10, 7, 7), (79, 10, 7, 7), (9, 10, 1, 1), (71, 25, 17, 17), (71, 50, 35, 35)]
    + [(71, 100, 71, 0), (1, 50, 1, 1), (30, 10, 3, 3)],
)
def test_warm_up_then_freeze(frames, percent, warmup, first):
    assert warm_up_length(frames, percent) == warmup
    assert first_scored(frames, percent) == first


def test_a_default_configuration_states_the_default_settings(config):
    assert settings_of(config) == Settings()


def test_every_setting_comes_from_its_key(config):
    changed = {
        "iters": 3,
        "lr": 0.5,
        "beta1": 0.5,
        "beta2": 0.25,
        "eps": 1e-3,
        "weight_decay": 0.125,
        "momentum": 0.75,
        "dropout": 0.25,
        "train": "addon",
        "least_frames": 7,
        "area_power": 0.125,
        "frequency_power": 0.625,
        "loss_on": "logits",
        "terms": ("fused",),
        "gradient_norm": True,
        "temperature": 2.0,
        "stochastic_depth": 0.1,
        "threshold": 0.5,
        "scale": (64, 32),
        "divisor": 16,
        "compute": "bfloat16",
        "matmul": "high",
        "protocol": "online",
        "seed": 5,
    }
    assert changed.keys() == run_settings.KEYS.keys() == vars(Settings()).keys()
    for name, value in changed.items():
        config.update_from_flattened_dict({run_settings.KEYS[name]: value})
    found = settings_of(config)
    assert vars(found) == changed
    assert (found.hyperparameters().lr, found.hyperparameters().momentum) == (0.5, 0.75)
    assert found.compiled((32, 64))._asdict() == {
        "input_size": (32, 64),
        "train": "addon",
        "loss_on": "logits",
        "terms": ("fused",),
        "dropout": 0.25,
        "stochastic_depth": 0.1,
        "gradient_norm": True,
        "temperature": 2.0,
    }


@pytest.mark.parametrize(
    ("teacher", "given", "threshold", "lr"),
    [
        ("embedded", {}, 2.0, 1e-4),
        ("embedded", {"tta.lr": 1e-3}, 2.0, 1e-3),
        ("embedded", {"teacher.mask_threshold": 0.0}, 0.0, 1e-4),
        ("large", {}, 0.0, 1e-3),
        ("flow", {"tta.lr": 3e-4}, 0.0, 3e-4),
    ],
)
def test_what_is_not_set_is_the_teachers_own(config, teacher, given, threshold, lr):
    config.update_from_flattened_dict({"teacher.config": teacher, **given})
    config.lock()
    found = with_teachers_own(config)
    assert (found.teacher.mask_threshold, found.tta.lr) == (threshold, lr)
    assert with_teachers_own(found).to_dict() == found.to_dict() and found.is_locked
    assert settings_of(found).lr == lr == settings_of(found).hyperparameters().lr
    changed = ("teacher.mask_threshold", "tta.lr")
    for key, value in flatten(config.to_dict()).items():
        assert key in changed or flatten(found.to_dict())[key] == value


def test_the_demo_leaves_the_teachers_own_to_the_teacher():
    demo = load("demo")
    assert demo.teacher.mask_threshold is None
    found = with_teachers_own(demo)
    assert (found.teacher.mask_threshold, found.tta.lr) == (2.0, 1e-4)


def flatten(nested, prefix=""):
    flat = {}
    for key, value in nested.items():
        inner = isinstance(value, dict)
        flat |= flatten(value, f"{prefix}{key}.") if inner else {prefix + key: value}
    return flat


def test_a_wrong_value_is_named_by_its_key(config):
    config.loss.on = "scores"
    with pytest.raises(UserError, match=r"^loss.on must be one of probabilities, .*not 'scores'"):
        settings_of(config)


@pytest.mark.parametrize("terms", [(), ("plain", "plain"), ("distill",)])
def test_terms_of_the_loss_that_are_none_are_refused(terms):
    with pytest.raises(UserError, match="terms must be some of plain, fused, contrast, each once"):
        Settings(terms=terms)


@pytest.mark.parametrize(
    ("methods", "words"),
    [
        (("frozen", "magic"), "methods: 'magic' is none of .*ditta.*frozen"),
        (("frozen", "protocol"), "methods: 'protocol' is none of"),
        (("ditta", "ditta"), "methods: 'ditta' is listed twice"),
        ((), "methods: name at least one of"),
    ],
)
def test_methods_that_do_not_exist_are_refused(config, methods, words):
    config.methods = methods
    with pytest.raises(UserError, match=words):
        run_settings.check(config)


def test_methods_come_in_the_order_of_the_configuration(config):
    config.methods = ("ditta", "frozen")
    found = methods_of(config)
    assert [(name, method.name) for name, method in found.items()] == [
        ("ditta", "ditta"),
        ("frozen", "frozen"),
    ]


def test_only_adapt_runs_in_several_processes(config):
    config.parallel.coordinator = "auto"
    run_settings.check(config, several=True)
    with pytest.raises(UserError, match=r"parallel\.coordinator must be empty"):
        run_settings.check(config)

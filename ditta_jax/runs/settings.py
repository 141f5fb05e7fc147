"""From a configuration to what the computation takes: nothing below `runs` sees a ConfigDict."""

from typing import Any

from ml_collections import ConfigDict

from ditta_jax.algorithm.settings import Settings
from ditta_jax.configuration.schema import flat
from ditta_jax.errors import UserError
from ditta_jax.methods import registry
from ditta_jax.methods.protocol import Method
from ditta_jax.runs import tensorboard
from ditta_jax.teacher.card import card_of

# Where each setting stands in a configuration.
KEYS = {
    **{name: f"tta.{name}" for name in ("iters", "lr", "beta1", "beta2", "eps", "weight_decay")},
    **{name: f"tta.{name}" for name in ("momentum", "dropout", "train")},
    "least_frames": "tta.least_frames",
    "area_power": "vote.area_power",
    "frequency_power": "vote.frequency_power",
    "loss_on": "loss.on",
    "terms": "loss.terms",
    "gradient_norm": "report.gradient_norm",
    "temperature": "loss.temperature",
    "stochastic_depth": "encoder.stochastic_depth",
    "threshold": "fusion.threshold",
    "scale": "input.scale",
    "divisor": "input.divisor",
    "compute": "precision.compute",
    "matmul": "precision.matmul",
    "protocol": "protocol",
    "seed": "seed",
}

# What a teacher's card decides as long as a person does not.
OF_TEACHER = {"teacher.mask_threshold": "mask_threshold", "tta.lr": "lr"}


def with_teachers_own(config: ConfigDict) -> ConfigDict:
    """A copy in which nothing is left unset: the teacher's card decides, else the defaults."""
    card, defaults = card_of(config.teacher.config), dict(flat())
    copy = config.copy_and_resolve_references()
    with copy.unlocked():
        for key, name in OF_TEACHER.items():
            if _value(config, key) is None:
                own = getattr(card, name)
                value = defaults[key].default if own is None else own
                copy.update_from_flattened_dict({key: value})
    return copy


def settings_of(config: ConfigDict) -> Settings:
    """The settings that a configuration states.

    Raises:
        UserError: a value that does not exist, by its key in the configuration.
    """
    values: dict[str, Any] = {name: _value(config, key) for name, key in KEYS.items()}
    try:
        return Settings(**values)
    except UserError as error:
        name, _, words = str(error).partition(" ")
        raise UserError(f"{KEYS[name]} {words}") from None


def methods_of(config: ConfigDict) -> dict[str, Method]:
    """The methods of a configuration by name, each with its own section of settings.

    Raises:
        UserError: an unknown method, one listed twice, or none.
    """
    registry.check_names(config.methods)
    return {
        name: registry.named(name, **(config[name].to_dict() if name in config else {}))
        for name in config.methods
    }


def check(config: ConfigDict, several: bool = False) -> None:
    """Report what the schema alone cannot: values that a method or the command has no use for.

    Args:
        config: the settings.
        several: whether the command can be one process of several.

    Raises:
        UserError: names the key, the value and what is allowed.
    """
    settings_of(config)
    methods_of(config)
    if config.parallel.coordinator and not several:
        raise UserError(
            "parallel.coordinator must be empty: of the commands, only ditta_jax.adapt runs in "
            "several processes"
        )
    if config.parallel.executor == "ray" and (config.parallel.coordinator or not several):
        raise UserError(
            "parallel.executor: ray is for ditta_jax.adapt, and without parallel.coordinator: Ray "
            "finds the machines"
        )
    tensorboard.check(config.report)


def warm_up_length(frames: int, percent: float) -> int:
    """T_w = max(⌊T · percent / 100⌋, 1) (SPEC "Protocol")."""
    return max(int(frames * percent / 100), 1)


def first_scored(frames: int, percent: float) -> int:
    """First frame of stage D: T_w, or 0 where all frames are both adapted on and scored."""
    return 0 if percent >= 100 else warm_up_length(frames, percent)


def _value(config: ConfigDict, key: str) -> Any:
    for part in key.split("."):
        config = config[part]
    return config

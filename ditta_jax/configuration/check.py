"""Whether a configuration fits the schema: keys, types, ranges, and what must fit together."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from ditta_jax.configuration.schema import SCHEMA, flat
from ditta_jax.configuration.setting import Schema, Setting
from ditta_jax.errors import UserError
from ditta_jax.ranges import fitted, shown


def checked(config: ConfigDict, where: str = "configuration") -> ConfigDict:
    """A copy of a configuration whose values have the schema's types and ranges.

    Whole numbers serve as real ones and lists as tuples.

    Args:
        config: as a person wrote it.
        where: it comes from, for messages.

    Raises:
        UserError: an unknown or missing key, a value of another type or out of range, or values
            that do not fit together; the first of them.
    """
    if not isinstance(config, ConfigDict):
        raise UserError(f"{where}: expected a ConfigDict, not {type(config).__name__}")
    whole = _section(config, SCHEMA, where, "")
    for rule in _RULES:
        if fault := rule(whole):
            raise UserError(f"{where}: {fault}")
    return whole


def check_value(key: str, value: Any, where: str) -> Any:
    """One setting's value in the schema's type.

    Raises:
        UserError: an unknown key, another type, or out of range.
    """
    return _value(key, value, setting(key, where), where)


def setting(key: str, where: str) -> Setting:
    """The setting of a dotted key.

    Raises:
        UserError: there is none; the nearest is named.
    """
    known = dict(flat())
    if key in known:
        return known[key]
    inside = [other for other in known if other.startswith(f"{key}.")]
    if inside:
        raise UserError(f"{where}: '{key}' is a section; its settings: {', '.join(inside)}")
    raise UserError(f"{where}: unknown setting '{key}'; {_known(key)}")


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that was probably meant, or nothing."""
    same_case = {other.lower(): other for other in known}
    found = difflib.get_close_matches(word.lower(), same_case, n=1, cutoff=0.7)
    return same_case[found[0]] if found else ""


def _known(key: str) -> str:
    """Which setting was meant, else all that stand beside the key."""
    everything = [other for other, _ in flat()]
    meant = nearest(key, everything)
    last = {other.rpartition(".")[2]: other for other in reversed(everything)}
    meant = meant or last.get(nearest(key.rpartition(".")[2], last), "")
    section = key.rpartition(".")[0]
    beside = [other for other in everything if other.rpartition(".")[0] == section]
    listed = ", ".join(sorted(beside) or sorted(SCHEMA))
    return f"did you mean '{meant}'?" if meant else f"known here: {listed}"


def _section(config: ConfigDict, schema: Schema, where: str, prefix: str) -> ConfigDict:
    for key in config:
        if key not in schema:
            raise UserError(f"{where}: unknown setting '{prefix}{key}'; {_known(prefix + key)}")
    found = ConfigDict()
    for key, like in schema.items():
        if key not in config:
            raise UserError(f"{where}: setting '{prefix}{key}' is missing")
        value = config[key]
        if isinstance(like, Setting):
            found[key] = _value(prefix + key, value, like, where)
        elif isinstance(value, ConfigDict):
            found[key] = _section(value, like, where, f"{prefix}{key}.")
        else:
            raise UserError(f"{where}: '{prefix}{key}' is a section, not {shown(value)}")
    return found


def _value(key: str, value: Any, setting: Setting, where: str) -> Any:
    """A value in its setting's type and range."""
    if value is None and setting.of_teacher:
        return placeholder(type(setting.default))
    try:
        return fitted(value, setting.default, setting.range)
    except ValueError as error:
        raise UserError(f"{where}: '{key}' {error}") from None


# ---------------------------------------------------------------------------- together


def _palette_fits(config: ConfigDict) -> str:
    colours, classes = len(config.palette), len(config.classes)
    if any(config.classes) and colours > 1 and colours != classes:
        return f"'palette' has {colours} colours for {classes} 'classes'"
    return ""


def _heads_divide(config: ConfigDict) -> str:
    channels, heads = config.train.channels, config.train.heads
    if config.train.family != "segformer":
        return ""
    for own, parts in zip(channels, heads, strict=True):
        if own % parts:
            return f"'train.heads' {heads} must divide 'train.channels' {channels}: {own} / {parts}"
    return ""


def _warm_up_ends(config: ConfigDict) -> str:
    warm_up, steps = config.train.warmup_steps, config.train.steps
    # optax's cosine schedule needs a step after the warm-up
    if warm_up >= steps:
        return f"'train.warmup_steps' must be below 'train.steps' ({steps}), not {warm_up}"
    return ""


def _processes_fit(config: ConfigDict) -> str:
    own = config.parallel
    if own.coordinator in ("", "auto"):
        if (own.processes, own.process) != (1, 0):
            return (
                "'parallel.processes' and 'parallel.process' go with an address of process 0 in"
                " 'parallel.coordinator'"
            )
    elif own.processes < 2:
        return "'parallel.processes' must be 2 or more where 'parallel.coordinator' is an address"
    elif own.process >= own.processes:
        return f"'parallel.process' must be below 'parallel.processes' ({own.processes})"
    if own.coordinator and config.tta.save:  # Orbax writes in process 0 only
        return "'tta.save' must be False with 'parallel.coordinator': it needs a single process"
    return ""


_RULES = (_palette_fits, _heads_divide, _processes_fit, _warm_up_ends)

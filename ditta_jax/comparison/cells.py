"""The runs that a comparison is made of: one a variant, length of the warm-up, and seed.

All methods of a cell are one run: stage A, the teacher's masks and the encoder's features are
computed once for them. What does not depend on the seed runs with the first seed only, and the
frozen student once for all variants that leave it what it is.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from ditta_jax.configuration.check import check_value, checked, setting
from ditta_jax.configuration.command_line import parse
from ditta_jax.errors import UserError
from ditta_jax.methods import registry
from ditta_jax.names import fault_of
from ditta_jax.runs import settings as run_settings
from ditta_jax.runs.segmentation import FROZEN

BASE = ""  # the variant without changes
_WHERE = "compare.ablations"
# Settings that a comparison sets itself, or that its cells share.
_NOT_VARIED = (
    *("name", "output", "seed", "methods", "warmup", "compare", "parallel", "report", "precision"),
    *("data", "metrics", "profile", "train"),
)
# Settings that the frozen student does not see, beside those of methods.
_NOT_OF_FROZEN = {"teacher", "vote", "tta", "encoder", "loss", "fusion", "protocol"}


class Cell(NamedTuple):
    """One run of a comparison.

    Attributes:
        variant: name of the variant; empty for the configuration as it is.
        percent: of the warm-up.
        seed: of everything that is drawn.
        config: its settings; its folder is `<comparison>/cells/<name>`.
    """

    variant: str
    percent: float
    seed: int
    config: ConfigDict

    @property
    def title(self) -> str:
        """What it is, in a line."""
        variant = f"{self.variant}, " if self.variant else ""
        return f"{variant}warm-up {self.percent:g} %, seed {self.seed}: " + ", ".join(
            self.config.methods
        )


def cells_of(config: ConfigDict) -> list[Cell]:
    """All cells of a comparison, checked, in the order in which they run.

    Raises:
        UserError: a variant, or a cell's settings, have a value that does not exist.
    """
    variants: dict[str, dict[str, Any]] = {BASE: {}} | variants_of(config.compare.ablations)
    names = [FROZEN, *(name for name in config.methods if name != FROZEN)]
    cells: list[Cell] = []
    for variant, changes in variants.items():
        own = names[1:] if variant and not frozen_changes(changes) else names
        for percent in config.compare.percents:
            cells += _cells(config, variant, changes, percent, own)
    return cells


def _cells(
    config: ConfigDict,
    variant: str,
    changes: Mapping[str, Any],
    percent: float,
    methods: Sequence[str],
) -> Iterator[Cell]:
    """The cells of a variant at one length of the warm-up: one a seed, as far as it matters."""
    for place, seed in enumerate(config.compare.seeds):
        whole = changed(config, {**changes, "warmup.percent": percent, "seed": seed})
        known = run_settings.settings_of(whole)
        own = [
            name
            for name, method in run_settings.methods_of(
                changed(whole, {"methods": methods})
            ).items()
            if place == 0 or method.draws(known)
        ]
        if own:
            length = f"{percent:g}" if float(f"{percent:g}") == percent else repr(percent)
            name = "-".join(filter(None, (file_of(variant), f"w{length}", f"s{seed}")))
            where = {
                "name": name,
                "output": str(folder_of(config) / "cells"),
                "teacher.cache": config.teacher.cache or f"{config.output}/teacher_cache",
                "methods": tuple(own),
            }
            yield Cell(variant, percent, seed, changed(whole, where).lock())


def folder_of(config: ConfigDict) -> Path:
    """Where the results of a run, or of a comparison, go."""
    return Path(config.output) / config.name


def changed(config: ConfigDict, changes: Mapping[str, Any]) -> ConfigDict:
    """A checked copy of a configuration with some settings changed."""
    copy = config.copy_and_resolve_references()
    with copy.unlocked():
        copy.update_from_flattened_dict(dict(changes))
    return checked(copy, _WHERE)


# ---------------------------------------------------------------------------- variants


def variants_of(texts: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Named changes of settings, from `NAME: KEY=VALUE; KEY=VALUE`.

    Raises:
        UserError: a text is something else, a name comes twice or cannot name a folder, or a
            setting is unknown, has a value that does not exist, or cannot be varied.
    """
    variants: dict[str, dict[str, Any]] = {}
    for text in filter(None, texts):
        name, colon, rest = (part.strip() for part in text.partition(":"))
        where = f"{_WHERE}: {text!r}"
        if not (name and colon and rest):
            raise UserError(f"{where}: write NAME: KEY=VALUE; KEY=VALUE")
        if fault := fault_of(file_of(name)):
            raise UserError(f"{where}: {name!r} cannot name a folder: {fault}")
        if file_of(name) in map(file_of, variants):
            raise UserError(f"{where}: there is a variant of this name already")
        variants[name] = dict(_change(word, where) for word in rest.split(";"))
    return variants


def _change(word: str, where: str) -> tuple[str, Any]:
    key, given, text = (part.strip() for part in word.partition("="))
    if not given:
        raise UserError(f"{where}: {word.strip()!r} is no KEY=VALUE")
    like = setting(key, where).default
    if key.partition(".")[0] in _NOT_VARIED:
        raise UserError(f"{where}: {key} is the same for all variants of a comparison")
    return key, check_value(key, parse(text, like, f"{where}: {key}"), where)


def file_of(variant: str) -> str:
    """A variant's name as part of a folder's."""
    return re.sub(r"[^\w.+]+", "_", variant)


def frozen_changes(changes: Mapping[str, Any]) -> bool:
    """Whether a variant's frozen student is another."""
    return not {key.partition(".")[0] for key in changes} <= _NOT_OF_FROZEN | {*registry.known()}

"""Methods by name: every file beside this one that has a `METHOD`."""

import dataclasses
import importlib
import pkgutil
from collections.abc import Sequence
from typing import Any

import ditta_jax.methods
from ditta_jax.errors import UserError
from ditta_jax.methods.protocol import Method

_NO_METHODS = {"one_step", "protocol", "registry", "stream", "votes"}


def known() -> tuple[str, ...]:
    """Names of all methods."""
    files = pkgutil.iter_modules(ditta_jax.methods.__path__)
    return tuple(sorted({file.name for file in files} - _NO_METHODS))


def named(name: str, **settings: Any) -> Method:
    """The method of a name, with settings of its own in the place of its defaults.

    Raises:
        UserError: there is no such method, or a setting has a value that does not exist.
    """
    if name not in known():
        raise UserError(f"methods: {name!r} is none of {', '.join(known())}")
    method = importlib.import_module(f"ditta_jax.methods.{name}").METHOD
    return dataclasses.replace(method, **settings)


def check_names(names: Sequence[str]) -> None:
    """Refuse a list of methods that is empty, or has an unknown one or one twice.

    Raises:
        UserError: says which.
    """
    if not names:
        raise UserError(f"methods: name at least one of {', '.join(known())}")
    for place, name in enumerate(names):
        if name not in known():
            raise UserError(f"methods: {name!r} is none of {', '.join(known())}")
        if name in names[:place]:
            raise UserError(f"methods: {name!r} is listed twice")

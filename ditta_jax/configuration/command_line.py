"""`python -m PROGRAM --config FILE [--config.key=value …]`: the words, and the file they name."""

from __future__ import annotations

import argparse
import ast
import importlib
import re
import runpy
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from ml_collections import ConfigDict

from ditta_jax.configuration.check import check_value, checked, nearest, setting
from ditta_jax.configuration.schema import flat
from ditta_jax.configuration.shipped import shipped
from ditta_jax.errors import UserError

_WORD = "--config"
_OTHER_FORMATS = {
    **dict.fromkeys((".yaml", ".yml"), "YAML"),
    **{".json": "JSON", ".toml": "TOML", ".ini": "INI", ".cfg": "INI"},
}
_BOOLEANS = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


def from_command_line(
    program: str,
    options: Mapping[str, str] | None = None,
    arguments: Sequence[str] | None = None,
    switches: Mapping[str, str] | None = None,
) -> tuple[ConfigDict, dict[str, Any]]:
    """Configuration and options of `python -m PROGRAM --config FILE [--config.key=value …]`.

    Args:
        program: the module's name, for messages.
        options: further options with their help text; each may be given several times.
        arguments: the words after the program's name; `sys.argv` by default.
        switches: further options without a value, with their help text.

    Returns:
        the checked, locked configuration, and by name the values of each further option and
        whether each switch is given.

    Raises:
        UserError: no or a broken file, an unknown key, a value of a wrong type or out of range.
        SystemExit: with --help, after it is printed.
    """
    options, switches = options or {}, switches or {}
    words = list(sys.argv[1:] if arguments is None else arguments)
    if {"-h", "--help"} & set(words):
        print(usage(program, options, switches))
        raise SystemExit(0)
    changes, words = _changes(words)
    parser = _Parser(prog=f"python -m {program}", allow_abbrev=False, add_help=False)
    parser.add_argument(_WORD, action="append", default=[])
    for name in options:
        parser.add_argument(f"--{name}", action="append", default=[])
    for name in switches:
        parser.add_argument(f"--{name}", action="store_true")
    given, rest = parser.parse_known_args(words)
    if rest:
        known = [_WORD, *(f"--{name}" for name in (*options, *switches))]
        what = f"do not know what to do with {' '.join(rest)!r}"
        raise UserError(f"{parser.prog}: {what}; {_meant(rest[0], known)}")
    if not given.config:
        raise UserError(f"{parser.prog}: --config FILE is missing, e.g. configs/demo.py")
    if len(given.config) > 1:
        raise UserError(f"--config is given twice, {' and '.join(given.config)}; give it once")
    config = checked(load(given.config[0]), where=given.config[0])
    for key, value in changes.items():
        section, _, last = key.rpartition(".")
        (config[section] if section else config)[last] = value
    values = vars(given)
    return checked(config, where=_WORD).lock(), {
        name: values[name.replace("-", "_")] for name in (*options, *switches)
    }


def _meant(word: str, known: Sequence[str]) -> str:
    """What a word that is none was probably meant to be, else all that are."""
    key = word.lstrip("-").partition("=")[0]
    if key in dict(flat()):
        return f"settings are changed by --config.{key}=VALUE"
    if not word.startswith("-") and word.endswith(".py"):
        return f"did you mean --config {word}?"
    near = nearest(word.partition("=")[0], known) if word.startswith("-") else ""
    return (
        f"did you mean {near}?"
        if near
        else f"known: {', '.join(known)}, --config.KEY=VALUE, --help"
    )


def usage(program: str, options: Mapping[str, str], switches: Mapping[str, str]) -> str:
    """What `--help` prints: the program's own words, its options, every setting."""
    lines = [(importlib.import_module(program).__doc__ or "").strip(), ""]
    lines += [f"  --{name} {text}" for name, text in options.items()]
    lines += [f"  --{name}  {text}" for name, text in switches.items()]
    lines += ["", "Settings and their defaults; --config.KEY=VALUE changes one:", ""]
    for key, own in flat():
        paper = f" (paper: {own.paper})" if own.paper else ""
        lines.append(f"  {key} = {own.default!r}")
        lines += textwrap.wrap(
            f"{own.meaning}; {own.range.words}{paper}",
            width=96,
            initial_indent="      ",
            subsequent_indent="      ",
        )
    return "\n".join(lines)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage."""
        raise UserError(f"{self.prog}: {message}")


# ---------------------------------------------------------------------------- the file


def load(word: str) -> ConfigDict:
    """What `get_config()` of a file returns; of `FILE:TEXT`, `get_config(TEXT)`.

    `demo` and other bare names mean the package's own files, where there is no such file here.

    Raises:
        UserError: no such file, no configuration, or it fails in some way.
    """
    path = Path(word)
    if not path.exists():
        path = shipped(word) or path
    argument: tuple[str, ...] = ()
    if not path.exists() and ".py:" in word:
        file, _, text = word.rpartition(".py:")
        path, argument = Path(f"{file}.py"), (text,)
    _check_file(path)
    try:
        # not imported: that would leave compiled files beside a person's own, and use stale ones
        make = runpy.run_path(str(path), run_name="ditta_jax_configuration").get("get_config")
        if not callable(make):
            raise UserError(f"--config: {path} defines no get_config(); see configs/demo.py")
        config = make(*argument)
    except UserError:
        raise
    except SystemExit as error:
        raise UserError(f"--config: {path} ends the program by itself") from error
    except Exception as error:  # the file is a program and can fail in any way
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"--config: {path} does not load: {reason}") from error
    if not isinstance(config, ConfigDict):
        kind = type(config).__name__
        raise UserError(f"--config: get_config() of {path} returns {kind}, expected a ConfigDict")
    return config


def _check_file(path: Path) -> None:
    """Refuse what is no Python file, in words that fit it."""
    like = "; a configuration is a Python file with get_config(), such as configs/demo.py"
    if path.is_dir():
        raise UserError(f"--config: {path} is a folder{like}")
    if not path.exists():
        raise UserError(f"--config: {path}: no such file{like}")
    if path.suffix.lower() in _OTHER_FORMATS:
        kind = _OTHER_FORMATS[path.suffix.lower()]
        raise UserError(f"--config: {path} is {kind}{like}")
    try:
        empty = not path.read_bytes().strip()
    except OSError as error:
        raise UserError(f"--config: {path} cannot be read: {error.strerror}") from error
    if empty:
        raise UserError(f"--config: {path} is empty{like}")


# ---------------------------------------------------------------------------- the words


def _changes(words: list[str]) -> tuple[dict[str, Any], list[str]]:
    """The values of `--config.key=value` (or `--config.key value`), and the other words."""
    changes: dict[str, Any] = {}
    rest = []
    while words:
        word = words.pop(0)
        if not word.startswith(f"{_WORD}."):
            rest.append(word)
            continue
        key, given, text = word.removeprefix(f"{_WORD}.").partition("=")
        like = setting(key, where=_WORD).default
        if not given and isinstance(like, bool) and not (words and words[0].lower() in _BOOLEANS):
            text = "true"
        elif not given:
            if not words or words[0].startswith("--"):
                raise UserError(f"--config.{key}: the value is missing; write --config.{key}=VALUE")
            text = words.pop(0)
        value = check_value(key, parse(text, like, f"--config.{key}"), where=_WORD)
        if changes.setdefault(key, value) != value:
            raise UserError(
                f"--config.{key} is given twice, as {changes[key]!r} and as {value!r}; give it once"
            )
    return changes, rest


def parse(text: str, like: Any, where: str) -> Any:
    """Text as a value of the type of `like`; tuples with brackets and quotes or without.

    Raises:
        UserError: it is none.
    """
    if isinstance(like, str):
        return text
    if isinstance(like, tuple):
        return _tuple(text.strip(), like, where)
    kind = type(like)
    try:
        return _BOOLEANS[text.strip().lower()] if kind is bool else _number(text, kind)
    except (ValueError, KeyError, OverflowError) as error:
        words = {bool: "true or false", int: "a whole number", float: "a number"}[kind]
        raise UserError(f"{where} must be {words}, not {text!r}") from error


def _number(text: str, kind: type) -> Any:
    """A number; whole ones may be written as 4e3."""
    try:
        return kind(text)
    except ValueError:
        value = float(text)
        if kind is int and value.is_integer() and "e" in text.lower():
            return int(value)
        raise


def _tuple(text: str, like: tuple, where: str) -> tuple:
    """`853,480`, `853x480`, `(853, 480)`, `[853, 480]`, `road,car`, `('road', 'car')`."""
    if not text:
        return ()
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        value = None
    if isinstance(value, list | tuple):
        return _tuples(value)
    if isinstance(like[0], tuple):
        raise UserError(f"{where} must be like {like!r}, not {text!r}")
    inner = text[1:-1] if text[0] + text[-1] in ("()", "[]") else text
    separator = r"," if isinstance(like[0], str) else r"[,;x×\s]\s*"
    members = [word.strip() for word in re.split(separator, inner.strip())]
    if members and not members[-1]:
        members.pop()  # as Python writes tuples of one: "255,"
    return tuple(parse(_unquoted(word), like[0], where) for word in members)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(own) for own in value) if isinstance(value, list | tuple) else value


def _unquoted(word: str) -> str:
    quoted = len(word) > 1 and word[0] == word[-1] and word[0] in "'\""
    return word[1:-1] if quoted else word

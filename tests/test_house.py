"""The rules of the house: which part of the package may import which; every arrow points down."""

import ast
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
COMMANDS = {
    "adapt",
    "benchmark",
    "check",
    "compare",
    "convert",
    "pretrain",
    "report",
    "sweep",
    "__main__",
}

# What each part may import. Commands come last: nothing imports them.
_ALL = {"errors", "files", "labels", "names", "ranges"}
MAY_IMPORT = {
    "errors": set(),
    "files": {"errors"},
    "labels": set(),
    "names": set(),
    "ranges": {"errors", "labels", "names"},
    "configuration": _ALL,
    "metrics": _ALL,
    "data": _ALL,
    "students": _ALL,
    "teacher": _ALL,
    "algorithm": _ALL | {"students"},
    "methods": _ALL | {"students", "algorithm", "metrics"},
    "runs": _ALL
    | {"configuration", "metrics", "data", "students", "teacher", "algorithm", "methods"},
}
MAY_IMPORT["comparison"] = MAY_IMPORT["runs"] | {"runs"}
EVERYTHING = set(MAY_IMPORT)
# The Python API is written beside the commands and imported by none.
API = {"__init__"}

# Families of students, and what turns other programs' weights into them: known to `students` only.
FAMILY = (
    *("students.segformer", "students.openmmlab", "students.espnetv2"),
    "students.layouts",
)

# Arrows that still run the wrong way; a mended one must leave this list, and none may join it.
MENDING: set[tuple[str, str]] = set()


def module_name(path):
    parts = path.relative_to(REPOSITORY / "ditta_jax").with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


def modules():
    return {module_name(path): path for path in sorted((REPOSITORY / "ditta_jax").rglob("*.py"))}


def imported(path, known):
    """Modules of the package that a file names in imports, wherever they stand; typing included."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; name the package"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            found = [
                name if name.removeprefix("ditta_jax.") in known else node.module for name in inner
            ]
        else:
            continue
        names |= {
            name.removeprefix("ditta_jax.") for name in found if name.startswith("ditta_jax.")
        }
    return names


def arrows():
    known = modules()
    return {(a, b) for a, path in known.items() for b in imported(path, known)}


def part(module):
    return module.partition(".")[0]


def is_arrow_up(a, b):
    from_, to = part(a), part(b)
    if from_ == to:
        return False
    if from_ in API:
        return to in COMMANDS
    if from_ in COMMANDS:
        return to not in EVERYTHING
    return to not in MAY_IMPORT[from_]


def test_every_part_has_a_rule():
    known = {part(module) for module in modules()}
    assert known <= EVERYTHING | COMMANDS | API


def test_arrows_point_down():
    up = {(a, b) for a, b in arrows() if is_arrow_up(a, b)}
    assert up == MENDING


def test_nothing_but_students_knows_a_family():
    knows = {
        (a, b)
        for a, b in arrows()
        if b.startswith(FAMILY) and part(a) not in {"students", "benchmark", "convert"}
    }
    assert not knows


def test_no_circle_not_even_by_typing():
    below = {}
    for a, b in arrows():
        below.setdefault(a, set()).add(b)
    done, path = set(), []

    def walk(module):
        if module in path:
            pytest.fail(" -> ".join([*path[path.index(module) :], module]))
        if module not in done:
            path.append(module)
            for other in sorted(below.get(module, ())):
                walk(other)
            path.pop()
            done.add(module)

    for module in sorted(below):
        walk(module)


def test_only_the_border_sees_a_configuration():
    border = COMMANDS | {"configuration", "runs", "data", "comparison"}
    for name, path in modules().items():
        if part(name) not in border:
            assert "ConfigDict" not in path.read_text(), f"{name} knows ConfigDict"


def test_few_modules_lie_at_the_top():
    assert len(list((REPOSITORY / "ditta_jax").glob("*.py"))) <= 14


# Verbs that say what a function does where its first line is to say: do it. A first line may be a
# noun as well: what the function's value is.
THIRD_PERSON = re.compile(
    "(Adds|Answers|Applies|Averages|Builds|Changes|Closes|Copies|Cuts|Decodes|Does|Draws|Encodes|"
    "Ends|Fills|Finds|Forgets|Gets|Gives|Goes|Has|Holds|Joins|Keeps|Lets|Loads|Looks|Makes|Opens|"
    "Paints|Prints|Puts|Raises|Reads|Refuses|Removes|Replays|Returns|Runs|Says|Sets|Sorts|Starts|"
    r"Takes|Trains|Turns|Waits|Walks|Watches|Writes|Yields)\b"
)
SECTIONS = {"Args:", "Returns:", "Raises:", "Yields:", "Attributes:", "Source:"}


def docstrings():
    """Of every function and class: where it is, whether it is a function, and its lines."""
    for part in ("ditta_jax", "teacher_bridge"):
        for path in sorted((REPOSITORY / part).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
                    where = f"{path.relative_to(REPOSITORY)}:{node.lineno} {node.name}"
                    lines = ast.get_docstring(node).splitlines()
                    yield where, isinstance(node, ast.FunctionDef), lines


def test_docstrings_are_written_in_one_way():
    """An imperative or a noun first; sections whose entries are indented by four."""
    for where, is_function, lines in docstrings():
        if is_function:
            assert not THIRD_PERSON.match(lines[0]), f"{where}: {lines[0]}"
        for line, after in zip(lines, lines[1:], strict=False):
            if line in SECTIONS:
                indented = len(after) - len(after.lstrip())
                assert indented == 4, f"{where}: {line} {after}"

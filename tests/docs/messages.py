"""The words that the program may say, as they stand in its source."""

import ast
import functools
from pathlib import Path

PARTS = ("ditta_jax", "teacher_bridge")


@functools.cache
def messages() -> frozenset[str]:
    """Every text in the source but docstrings, with … where a value stands."""
    root = Path(__file__).resolve().parent.parent.parent
    found = set()
    for path in (path for part in PARTS for path in (root / part).rglob("*.py")):
        tree = ast.parse(path.read_text())
        said = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}  # docstrings
        for node in ast.walk(tree):
            if id(node) in said:
                continue
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
            elif isinstance(node, ast.JoinedStr):
                values = (v.value if isinstance(v, ast.Constant) else "…" for v in node.values)
                found.add("".join(map(str, values)))
    return frozenset(found)

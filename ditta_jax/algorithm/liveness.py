"""The memory that a program works with, from its operations: before any compiler has seen it.

A value is held from the operation that makes it to the last one that reads it, in the order in
which they were traced. Compilers fuse operations, which saves memory, and choose an order of their
own: what they report is near this (`tests/runs/test_room.py` holds it to theirs), not equal.
"""

import math
from collections.abc import Iterator
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

_LOOPS = ("scan", "while")  # their results exist beside what a turn works with


def temporaries(program: jax.stages.Traced) -> int:
    """Most bytes that a program holds at once beside its arguments, results included."""
    return _most(program.jaxpr.jaxpr)


def _most(operations: Jaxpr) -> int:
    last = _last_uses(operations)
    held: dict[Any, int] = {}
    most = now = 0
    for turn, operation in enumerate(operations.eqns):
        made = {x: _bytes(x.aval) for x in operation.outvars if x in last}
        inner = [_most(own) for own in _within(operation)]
        results = sum(made.values())
        both = operation.primitive.name in _LOOPS or not inner
        working = max(inner, default=0)
        most = max(most, now + (working + results if both else max(working, results)))
        held |= made
        now += results
        for x in {x for x in operation.invars if not isinstance(x, Literal)}:
            if last[x] == turn and x in held:
                now -= held.pop(x)
    return most


def _last_uses(operations: Jaxpr) -> dict[Any, int]:
    """The last operation that reads a value; results of the whole are read after all of them."""
    last: dict[Any, int] = {}
    for turn, operation in enumerate(operations.eqns):
        last |= {x: turn for x in operation.invars if not isinstance(x, Literal)}
    results = [x for x in operations.outvars if not isinstance(x, Literal)]
    return last | dict.fromkeys(results, len(operations.eqns))


def _within(operation: Any) -> Iterator[Jaxpr]:
    """The programs inside an operation: bodies of loops, branches, called functions."""
    for value in operation.params.values():
        for own in value if isinstance(value, (tuple, list)) else [value]:
            if isinstance(own, ClosedJaxpr):
                yield own.jaxpr
            elif isinstance(own, Jaxpr):
                yield own


def _bytes(shape: Any) -> int:
    """Of an array of some shape and type; random keys count by their type's size."""
    return math.prod(shape.shape) * shape.dtype.itemsize if hasattr(shape, "shape") else 0

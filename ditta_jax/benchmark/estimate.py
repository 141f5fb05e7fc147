"""What a compiled program's text says: the compiler's cycles by part of the method, and operations.

TPU compilers note on most instructions how many cycles they expect of them. A loop's body stands
there once, so its cycles count as often as the loop turns. Cycles are an estimate by the compiler's
own model of the chip; nothing was run.
"""

import re
from collections import Counter
from typing import NamedTuple

OTHER = "other"  # instructions outside every named scope

_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\) -> .*\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (?:\(.*?\)|\S+) ([\w\-]+)\((.*)$")
_CYCLES = re.compile(r'"estimated_cycles":"(\d+)"')
_SCOPE = re.compile(r'op_name="([^"]*)"')
_CALLED = re.compile(
    r"(?:condition|body|to_apply|calls|true_computation|false_computation)=%?([\w.\-]+)"
)
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
_KNOWN_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_INTEGER = re.compile(r"^(-?\d+)\)")


class Instruction(NamedTuple):
    """One line of a computation.

    Attributes:
        name: of its result.
        operation: e.g. "fusion", "while", "scatter".
        rest: the text after the opening parenthesis: operands and attributes.
    """

    name: str
    operation: str
    rest: str

    @property
    def cycles(self) -> int:
        """The compiler's estimate; 0 where it gives none."""
        found = _CYCLES.search(self.rest)
        return int(found[1]) if found else 0

    @property
    def operands(self) -> list[str]:
        """Names that are read."""
        return re.findall(r"%([\w.\-]+)", self.rest.partition("), ")[0])


class Module(NamedTuple):
    """A compiled program: computations by name, and which of them is the entry."""

    computations: dict[str, list[Instruction]]
    entry: str

    def operations(self) -> Counter[str]:
        """How often each operation stands in the text, inside fusions and loops once each."""
        return Counter(i.operation for lines in self.computations.values() for i in lines)


class Estimate(NamedTuple):
    """Cycles by part of the method.

    Attributes:
        cycles: per named scope.
        unknown_loops: loops whose number of turns the text does not tell; counted as one turn.
    """

    cycles: dict[str, int]
    unknown_loops: int

    @property
    def total(self) -> int:
        """Cycles of the whole program."""
        return sum(self.cycles.values())


def read(text: str) -> Module:
    """Take a compiled program's text apart."""
    computations: dict[str, list[Instruction]] = {}
    entry, current = "", None
    for line in text.splitlines():
        if found := _COMPUTATION.match(line):
            current = computations.setdefault(found[2], [])
            entry = found[2] if found[1] else entry
        elif line.startswith("}"):
            current = None
        elif current is not None and (found := _INSTRUCTION.match(line)):
            current.append(Instruction(*found.groups()))
    return Module(computations, entry)


def estimate(module: Module, scopes: tuple[str, ...] = ()) -> Estimate:
    """Cycles of one run, grouped by the innermost of `scopes` that an instruction was made in.

    Of a conditional's branches the dearer one counts.
    """
    unknown: set[str] = set()

    def cost(name: str) -> Counter[str]:
        total: Counter[str] = Counter()
        lines = module.computations.get(name, [])
        for line in lines:
            if line.operation == "while":
                turns = _turns(module, lines, line)
                if turns is None:
                    unknown.add(line.name)
                for called in _CALLED.findall(line.rest):
                    for scope, cycles in cost(called).items():
                        total[scope] += cycles * (turns or 1)
            elif line.operation == "conditional":
                branches = [cost(branch) for branch in _branches(line)]
                dearest = max(branches, key=lambda cycles: sum(cycles.values()))
                total += dearest
            elif line.operation == "call":
                for called in _CALLED.findall(line.rest):
                    total += cost(called)
            else:
                total[_scope(line, scopes)] += line.cycles
        return total

    return Estimate(dict(cost(module.entry).most_common()), len(unknown))


def _branches(line: Instruction) -> list[str]:
    listed = _BRANCHES.search(line.rest)
    return re.findall(r"%?([\w.\-]+)", listed[1]) if listed else _CALLED.findall(line.rest)


def _scope(line: Instruction, scopes: tuple[str, ...]) -> str:
    """The innermost known scope on the path by which the instruction came to be.

    Transformations wrap it: a gradient is made in `transpose(jvp(decoder))`.
    """
    found = _SCOPE.search(line.rest)
    names = re.split(r"[/()]", found[1]) if found else []
    return next((name for name in reversed(names) if name in scopes), OTHER)


# ---------------------------------------------------------------------------- turns of a loop


def _turns(module: Module, lines: list[Instruction], loop: Instruction) -> int | None:
    """How often a loop turns that counts from a constant up to a constant by one."""
    if known := _KNOWN_TRIPS.search(loop.rest):
        return int(known[1])
    condition = re.search(r"condition=%?([\w.\-]+)", loop.rest)
    body = module.computations.get(condition[1], []) if condition else []
    bound = _bound(module, body)
    if bound is None or len(loop.operands) != 1:
        return None
    index, limit = bound
    start = _element(lines, loop.operands[0], index)
    return None if start is None else max(limit - start, 0)


def _bound(module: Module, condition: list[Instruction]) -> tuple[int, int] | None:
    """Which element of its state a loop counts with, and up to what."""
    numbers = {i.name: value for i in condition if (value := _constant(i)) is not None}
    elements = {
        i.name: int(found[1])
        for i in condition
        if i.operation == "get-tuple-element" and (found := re.search(r"index=(\d+)", i.rest))
    }
    for line in condition:
        if line.operation == "compare" and "direction=LT" not in line.rest:
            continue
        if line.operation in ("compare", "fusion"):
            own = [elements[name] for name in line.operands if name in elements]
            limit = [numbers[name] for name in line.operands if name in numbers]
            if len(own) == 1 and len(limit) == 1:
                return own[0], limit[0]
    return None


def _element(lines: list[Instruction], state: str, index: int) -> int | None:
    """The constant that an element of a tuple is."""
    by_name = {line.name: line for line in lines}
    name: str | None = state
    for _ in lines:
        line = by_name.get(name or "")
        if line is None:
            return None
        if line.operation == "tuple":
            name = line.operands[index] if index < len(line.operands) else None
        elif line.operation in ("copy", "bitcast"):
            name = line.operands[0]
        else:
            return _constant(line)
    return None


def _constant(line: Instruction) -> int | None:
    found = _INTEGER.match(line.rest) if line.operation == "constant" else None
    return int(found[1]) if found else None


def scatters(text: str) -> int:
    """Instructions that were made from a scatter; some compilers turn it into a loop."""
    made = re.findall(r'op_name="[^"]*?([\w\-]+)"', text)
    return sum("scatter" in name for name in made)

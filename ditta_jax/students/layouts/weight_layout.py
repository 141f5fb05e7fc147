"""Tables that map the weights of a foreign layout to the student's, in both directions.

A layout is a list of `Layer` rows: name there, name here, kind. `expand` turns the rows into one
`Weight` per array for a given student, so that every key on both sides is known beforehand, and
`load` accounts for each of them.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from flax import nnx
from flax.nnx import traversals

from ditta_jax.errors import UserError
from ditta_jax.students.protocol import StudentConfig
from ditta_jax.students.segformer.config import SegFormerConfig
from ditta_jax.students.student import Student, fill, new_student

# Kinds of layers, as (suffix there, suffix here, form) per array. Forms: "vector" as it is;
# "linear" [out, in] ↔ [in, out]; "pointwise" [out, in, 1, 1] ↔ [in, out]; "conv" OIHW ↔ HWIO.
NORM = (("weight", "scale", "vector"), ("bias", "bias", "vector"))
BATCH_NORM = (*NORM, ("running_mean", "mean", "vector"), ("running_var", "var", "vector"))
LINEAR = (("weight", "kernel", "linear"), ("bias", "bias", "vector"))
POINTWISE = (("weight", "kernel", "pointwise"), ("bias", "bias", "vector"))
POINTWISE_NO_BIAS = POINTWISE[:1]
CONV = (("weight", "kernel", "conv"), ("bias", "bias", "vector"))
CONV_NO_BIAS = CONV[:1]

# Keys without use, as a row of `Layout.unused`: BatchNorm's, in every torch state dict.
COUNTERS = (r".*\.num_batches_tracked", "a counter that torch's BatchNorm does not compute with")

Path = tuple[str | int, ...]

_AXES = {"vector": (0,), "linear": (1, 0), "conv": (2, 3, 1, 0)}


class Layer(NamedTuple):
    """One row of a layout.

    Attributes:
        there: name in the foreign layout; several names are concatenated over outputs. Templates
            with `{level}` 0…3, `{number}` 1…4, `{coarse}` 3…0 and `{block}`.
        here: name in the student, a template too.
        kind: NORM, LINEAR, …
        group: name of an optional part of the model that may be absent as a whole.
    """

    there: str | tuple[str, ...]
    here: str
    kind: tuple[tuple[str, str, str], ...]
    group: str = ""


class Layout(NamedTuple):
    """All rows of a layout and the keys in it that a student has no use for.

    Attributes:
        name: for messages.
        encoder: prefix of the encoder's keys, and the key by whose end an encoder is recognised.
        decoder: likewise; both ends are without the prefix.
        unused: (regular expression of keys, why they are not needed).
        level: rows repeated for each level of a Mix Transformer.
        block: rows repeated for each of its blocks.
        reduced_block: rows of blocks whose keys come from a reduced map.
        head: rows that occur once.
        config: type of the students' sizes.
        fixed: sizes that no shape shows and all models of the layout share.
        prepare: makes arrays of a kind that the rows cannot say into ones that they can.
        beside: prefix of a third part, which stands beside the decoder.
        rows: of another encoder, all of them for given sizes; then there are no others.
        sizes: of another encoder, like `sizes.student_config`.
    """

    name: str
    encoder: tuple[str, str]
    decoder: tuple[str, str]
    unused: Sequence[tuple[str, str]]
    level: Sequence[Layer] = ()
    block: Sequence[Layer] = ()
    reduced_block: Sequence[Layer] = ()
    head: Sequence[Layer] = ()
    config: type = SegFormerConfig
    fixed: Mapping[str, Any] = MappingProxyType({})
    prepare: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]] = dict
    beside: str = ""
    rows: Callable[[Any], Sequence[Layer]] | None = None
    sizes: Callable[..., StudentConfig] | None = None


class Weight(NamedTuple):
    """One array: its keys there, its path here, how its axes are exchanged, its optional group."""

    keys: tuple[str, ...]
    path: Path
    form: str
    group: str


class Loaded(NamedTuple):
    """A student with foreign weights, and what a person should know about the loading.

    Attributes:
        student: the weights, float32.
        unused: keys left out, with the reason.
        fresh: optional groups that were absent and got fresh weights.
    """

    student: Student
    unused: dict[str, str]
    fresh: list[str]


def expand(layout: Layout, config: Any) -> list[Weight]:
    """Every array of a student of this `config`, in the layout's order."""
    weights: list[Weight] = []

    def add(layers: Iterable[Layer], **indices: int) -> None:
        for layer in layers:
            names = (layer.there,) if isinstance(layer.there, str) else layer.there
            for there, here, form in layer.kind:
                keys = tuple(f"{name.format(**indices)}.{there}" for name in names)
                path = _path(f"{layer.here.format(**indices)}.{here}")
                weights.append(Weight(keys, path, form, layer.group))

    if layout.rows:
        add(layout.rows(config))
        return weights
    for level, depth in enumerate(config.depths):
        coarse = len(config.depths) - 1 - level
        add(layout.level, level=level, number=level + 1, coarse=coarse)
        for block in range(depth):
            add(layout.block, level=level, number=level + 1, block=block)
            if config.reductions[level] > 1:
                add(layout.reduced_block, level=level, number=level + 1, block=block)
    add(layout.head)
    return weights


def _path(dotted: str) -> Path:
    return tuple(int(part) if part.isdigit() else part for part in dotted.split("."))


def load(
    layout: Layout,
    config: StudentConfig,
    arrays: Mapping[str, np.ndarray],
    source: str,
    seed: int = 0,
    ignore: Sequence[str] = (),
    encoder_only: bool = False,
) -> Loaded:
    """A student from foreign weights; every key on both sides is accounted for.

    Args:
        layout: where each array goes.
        config: sizes of the student.
        arrays: by foreign key.
        source: names the origin in messages.
        seed: of the fresh weights of absent optional groups, drawn as torch initialises them:
            uniform in ±1/√fan_in for kernels and biases (kaiming-uniform with a = √5).
        ignore: further regular expressions of keys to leave out.
        encoder_only: whether everything but the encoder is fresh.

    Raises:
        UserError: missing, left-over, misshapen or non-finite arrays; all are named.
    """
    student = new_student(config, seed)
    values = _by_path(student)
    table = expand(layout, config)
    _check_targets(layout, table, values)
    if encoder_only:
        table = [weight for weight in table if weight.path[0] == "encoder"]
    fresh = _absent_groups(table, arrays)
    problems: dict[str, list[str]] = {"missing": [], "left over": [], "misshapen": [], "broken": []}
    for weight in table:
        if weight.group in fresh:
            continue
        parts = _parts(weight, values[weight.path].shape, arrays, problems)
        if parts is not None:
            value = np.concatenate([_swap(weight.form, part) for part in parts], axis=-1)
            values[weight.path] = np.ascontiguousarray(value)
    unused = _unused(layout, table, arrays, ignore, problems)
    _raise(problems, f"{source} does not fit the {layout.name} layout")
    filled = fill(student, traversals.unflatten_mapping(values))
    return Loaded(filled, unused, sorted(fresh))


def dump(layout: Layout, student: Student) -> dict[str, np.ndarray]:
    """The student's weights in a foreign layout: arrays by foreign key, in the layout's order."""
    values = _by_path(student)
    table = expand(layout, student.config)
    _check_targets(layout, table, values)
    arrays = {}
    for weight in table:
        parts = np.split(np.asarray(values[weight.path]), len(weight.keys), axis=-1)
        for key, part in zip(weight.keys, parts, strict=True):
            arrays[key] = np.ascontiguousarray(_swap_back(weight.form, part))
    return arrays


def _by_path(student: Student) -> dict[Path, Any]:
    """The student's arrays by their path in its tree."""
    return traversals.flatten_mapping(nnx.to_pure_dict(nnx.state(student)))


def _check_targets(layout: Layout, table: Sequence[Weight], values: Mapping[Path, Any]) -> None:
    """The table and the student must name the same arrays: a guard against editing one of them."""
    known = [weight.path for weight in table]
    if len(known) != len(values) or set(known) != set(values):
        different = sorted(".".join(map(str, path)) for path in set(known) ^ set(values))
        raise RuntimeError(f"the table of layout {layout.name} and the student differ: {different}")


def _absent_groups(table: Sequence[Weight], arrays: Mapping[str, np.ndarray]) -> set[str]:
    groups = {weight.group for weight in table if weight.group}
    present = {w.group for w in table if w.group and any(key in arrays for key in w.keys)}
    return groups - present


def _parts(weight, shape, arrays, problems) -> list[np.ndarray] | None:
    """The arrays of one weight as float32, or None with the reason added to `problems`."""
    target = (*shape[:-1], shape[-1] // len(weight.keys))
    expected = _swap_back(weight.form, np.broadcast_to(np.float32(0), target)).shape
    parts = []
    for key in weight.keys:
        if key not in arrays:
            problems["missing"].append(key)
        elif arrays[key].shape != expected:
            problems["misshapen"].append(f"{key} is {arrays[key].shape}, expected {expected}")
        else:
            if fault := _fault_of_numbers(key, np.asarray(arrays[key])):
                problems["broken"].append(f"{key} ({fault})")
                continue
            parts.append(np.asarray(arrays[key]).astype(np.float32))
    return parts if len(parts) == len(weight.keys) else None


def _fault_of_numbers(key: str, array: np.ndarray) -> str:
    """Why an array's numbers cannot be weights; empty if they can."""
    if array.dtype.kind in "iubc":  # of a quantised network, its scales elsewhere, for one
        return f"{array.dtype}, expected floating-point numbers"
    with np.errstate(over="ignore"):
        numbers = array.astype(np.float32)
    if not np.isfinite(numbers).all():
        return "not finite"
    return "a negative variance" if key.endswith("running_var") and (numbers < 0).any() else ""


def _unused(layout, table, arrays, ignore, problems) -> dict[str, str]:
    """Keys without a place and why that is all right; the others are added to `problems`."""
    used = {key for weight in table for key in weight.keys}
    reasons = [*layout.unused, *((pattern, "left out on request") for pattern in ignore)]
    unused = {}
    for key in arrays:
        if key in used:
            continue
        reason = next((why for pattern, why in reasons if re.fullmatch(pattern, key)), None)
        if reason is None:
            problems["left over"].append(key)
        else:
            unused[key] = reason
    return unused


def _raise(problems: Mapping[str, list[str]], what: str, most: int = 40) -> None:
    words = []
    for kind, found in problems.items():
        if found:
            rest = f" and {len(found) - most} more" if len(found) > most else ""
            words.append(f"{len(found)} {kind}: {', '.join(found[:most])}{rest}")
    if words:
        hint = "; --ignore PATTERN leaves out left-over keys" if problems["left over"] else ""
        raise UserError(f"{what}: {'; '.join(words)}{hint}")


def _swap(form: str, array: np.ndarray) -> np.ndarray:
    """Foreign axes to ours."""
    if form == "pointwise":
        return array[:, :, 0, 0].T
    return array.transpose(_AXES[form])


def _swap_back(form: str, array: np.ndarray) -> np.ndarray:
    """Our axes to the foreign ones."""
    if form == "pointwise":
        return array.T[:, :, None, None]
    return array.transpose(np.argsort(_AXES[form]))

"""Students on disk: an Orbax folder with the weights, and `student.json` that says what they are.

<checkpoint>/student.json    format, family and sizes, class names, palette, where it came from
<checkpoint>/weights/…       Orbax (OCDBT)
"""

import dataclasses
import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx

from ditta_jax.errors import UserError
from ditta_jax.files import write_atomically, writing
from ditta_jax.students import destination, families
from ditta_jax.students.protocol import StudentConfig
from ditta_jax.students.student import Student, abstract_student, fill

FORMAT = "ditta_jax student 1"
SHIPPED = Path(__file__).parent


class StudentCard(NamedTuple):
    """What a checkpoint says about its weights.

    Attributes:
        config: sizes of the student, of its family's type.
        classes: C names, in label order.
        palette: C RGB triples, 0…255.
        source: where the weights came from: a command, a converted file, a training step.
    """

    config: StudentConfig
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    source: dict


def save(path: str | Path, student: Student, card: StudentCard) -> None:
    """Write a checkpoint; an old one at `path` is replaced only once the new one is whole.

    Raises:
        UserError: `path` holds something else, or cannot be written.
    """
    path = Path(path).absolute()
    refuse_destination(path)
    text = _text_of(card)
    json.dumps(text)  # what JSON cannot hold is noticed before anything is written
    with destination.replacing(path) as fresh:
        _write_weights(fresh, student)
        files = (file for file in fresh.rglob("*") if file.is_file())
        # named, so that a later checkpoint knows what is its to replace
        text["files"] = sorted(file.relative_to(fresh).as_posix() for file in files)
        write_atomically(fresh / "student.json", (json.dumps(text, indent=1) + "\n").encode())


def refuse_destination(path: str | Path, sources: Collection[Path] = ()) -> None:
    """Raise `UserError` unless a checkpoint may be written at `path` (see `destination`)."""
    path = Path(path)
    destination.refuse_foreign(path, _files_of(path), sources)


def _write_weights(folder: Path, student: Student) -> None:
    import orbax.checkpoint as ocp

    try:
        with writing(folder), ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(folder / "weights", nnx.to_pure_dict(nnx.state(student)))
    except (ValueError, RuntimeError) as error:  # what Orbax' own writers make of the system's word
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"{folder}: the weights cannot be written: {reason}") from error


def _text_of(card: StudentCard) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "family": families.name_of(card.config),
        **card._asdict(),
        "config": dataclasses.asdict(card.config),
    }


def _files_of(path: Path) -> set[str]:
    """Files of the checkpoint at `path`; empty if there is none."""
    try:
        text = json.loads((path / "student.json").read_bytes())
        if text["format"] != FORMAT:
            return set()
        named = text.get("files")
    except (OSError, ValueError, KeyError, TypeError):
        return set()
    if not isinstance(named, list):  # of a version that did not name them
        inside = (path / "weights").rglob("*")
        named = [file.relative_to(path).as_posix() for file in inside]
    return {"student.json", *map(str, named)}


def load(path: str | Path) -> tuple[Student, StudentCard]:
    """Read a checkpoint.

    Args:
        path: a folder that `save` wrote, or "embedded" for the demo student of the package.

    Raises:
        UserError: no such folder, another kind of checkpoint, or weights that do not fit.
    """
    import orbax.checkpoint as ocp

    embedded = str(path) == "embedded"
    path = SHIPPED / "demo" if embedded else Path(path).absolute()
    if not embedded:
        destination.recover(path)
    card = read_card(path)
    student = abstract_student(card.config)
    # without this Orbax looks for the devices that the weights were saved from
    here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    target = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=here),
        nnx.to_pure_dict(nnx.state(student)),
    )
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            # compared before reading: a restore that fails leaves tasks behind that complain later
            _check_shapes(path, checkpointer.metadata(path / "weights").item_metadata.tree, target)
            weights = checkpointer.restore(path / "weights", target)
    except (ValueError, KeyError, OSError, AttributeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"{path}: the weights do not fit student.json: {reason}") from error
    return fill(student, weights), card


def _check_shapes(path: Path, found: Any, expected: Any) -> None:
    """Raise UserError naming the first weight that is missing, left over or of another shape."""
    shapes = [
        {
            jax.tree_util.keystr(key, simple=True, separator="/"): tuple(leaf.shape)
            for key, leaf in jax.tree.leaves_with_path(tree)
        }
        for tree in (found, expected)
    ]
    for name in sorted(set(shapes[0]) | set(shapes[1])):
        have, want = (s.get(name, "missing") for s in shapes)
        if have != want:
            raise UserError(
                f"{path}: the weights do not fit student.json: {name} is {have}, expected {want}"
            )


def read_card(path: Path) -> StudentCard:
    """The `student.json` of a checkpoint folder.

    Raises:
        UserError: missing folder, or not a student of this program.
    """
    file = path / "student.json"
    if not path.is_dir():
        raise UserError(
            f"{path}: no such checkpoint folder; train one with python -m ditta_jax.pretrain, "
            "or convert one with python -m ditta_jax.convert"
        )
    try:
        text = json.loads(file.read_text())
        if text["format"] != FORMAT:
            raise KeyError("format")
        sizes: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in text["config"].items()
        }
        palette = tuple(tuple(color) for color in text["palette"])
        config = families.named(text.get("family", families.FIRST)).config(**sizes)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{file}: not a checkpoint of this program; python -m ditta_jax.convert reads others"
        ) from error
    return StudentCard(config, tuple(text["classes"]), palette, text["source"])


def fingerprint(student: Student) -> str:
    """SHA-256 of all weights: what results depend on, wherever the checkpoint lies."""
    digest = hashlib.sha256(repr(student.config).encode())
    for path, variable in sorted(nnx.to_flat_state(nnx.state(student))):
        digest.update("/".join(map(str, path)).encode())
        digest.update(np.ascontiguousarray(variable.get_value()).tobytes())
    return digest.hexdigest()

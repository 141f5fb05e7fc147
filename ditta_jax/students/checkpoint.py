"""Students on disk: an Orbax folder with the weights, and `student.json` that says what they are.

<checkpoint>/student.json    format, family and sizes, class names, palette, where it came from,
                             SHA-256 of the files beside it
<checkpoint>/weights/…       Orbax (OCDBT)

The card is no item of Orbax's own (`ocp.args.Composite` with `JsonSave`; tried with Orbax 0.12.8):
items are written in one go, and the card holds the digests of what was written beside it; Orbax
keeps no digest of a JSON item, so a changed one is read as if it were whole; and it would lie in a
file `card/metadata`, which nobody looks for and which checkpoints of today do not have.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx

from ditta_jax.errors import UserError
from ditta_jax.files import digest_of_file, write_atomically
from ditta_jax.students import card as card_file
from ditta_jax.students import destination
from ditta_jax.students.card import StudentCard
from ditta_jax.students.student import Student, abstract_student, fill

SHIPPED = Path(__file__).parent


def save(path: str | Path, student: Student, card: StudentCard) -> None:
    """Write a checkpoint; an old one at `path` is replaced only once the new one is whole.

    Raises:
        UserError: `path` holds something else, or cannot be written.
    """
    path = Path(path).absolute()
    refuse_destination(path)
    text = card_file.content_of(card)
    json.dumps(text)  # what JSON cannot hold is noticed before anything is written
    with destination.replacing(path) as fresh:
        _write_weights(path, fresh, student)
        # so that damage is noticed, and a later checkpoint knows what is its to replace
        text["files"] = digests_of(fresh)
        content = (json.dumps(text, indent=1) + "\n").encode()
        write_atomically(fresh / card_file.FILE, content)


def refuse_destination(path: str | Path, sources: Collection[Path] = ()) -> None:
    """Raise `UserError` unless a checkpoint may be written at `path` (see `destination`)."""
    path = Path(path)
    destination.refuse_foreign(path, _files_of(path), sources)


def _write_weights(path: Path, folder: Path, student: Student) -> None:
    weights = nnx.to_pure_dict(nnx.state(student))
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(weights))
    with destination.orbax_writing(path, size, folder), _checkpointer() as checkpointer:
        checkpointer.save(folder / "weights", weights)


def _checkpointer() -> Any:
    """Orbax for this process alone: where a run has several, each reads by itself."""
    import orbax.checkpoint as ocp

    own = jax.process_index()
    return ocp.StandardCheckpointer(
        multiprocessing_options=ocp.options.MultiprocessingOptions(
            primary_host=own, active_processes={own}, barrier_sync_key_prefix=f"process_{own}"
        )
    )


def _files_of(path: Path) -> set[str]:
    """Files of the checkpoint at `path`; empty if there is none."""
    try:
        _, digests = card_file.read(path)
    except UserError:
        return set()
    inside = (path / "weights").rglob("*")  # of a version that did not name them
    return {card_file.FILE, *(digests or (file.relative_to(path).as_posix() for file in inside))}


def digests_of(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a checkpoint but its card, by POSIX path in the folder."""
    files = sorted(file for file in (folder / "weights").rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): digest_of_file(file) for file in files}


def _check_files(folder: Path, digests: Mapping[str, str]) -> None:
    """Raise UserError naming the first file that is not as the card was written with."""
    for name, digest in digests.items():
        file = folder / name
        try:
            changed = digest_of_file(file) != digest
        except OSError as error:
            raise UserError(
                f"{file}: cannot be read ({error.strerror}), and the checkpoint needs it; copy the "
                "checkpoint again"
            ) from error
        if changed:
            raise UserError(
                f"{file}: damaged: other bytes than {card_file.FILE} was written with; copy the "
                "checkpoint again"
            )


def is_one(path: str | Path) -> bool:
    """Whether a path is a folder that `save` wrote, or "embedded"."""
    return str(path) == "embedded" or (Path(path) / card_file.FILE).is_file()


def load(path: str | Path) -> tuple[Student, StudentCard]:
    """Read a checkpoint.

    Args:
        path: a folder that `save` wrote, or "embedded" for the demo student of the package.

    Raises:
        UserError: no such folder, another kind of checkpoint, or weights that do not fit.
    """
    embedded = str(path) == "embedded"
    path = SHIPPED / "demo" if embedded else Path(path).absolute()
    if not embedded:
        destination.recover(path)
    card, digests = card_file.read(path)
    _check_files(path, digests)
    student = abstract_student(card.config)
    # without this Orbax looks for the devices that the weights were saved from
    here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    target = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=here),
        nnx.to_pure_dict(nnx.state(student)),
    )
    try:
        with _checkpointer() as checkpointer:
            # compared before reading: a restore that fails leaves tasks behind that complain later
            _check_shapes(path, checkpointer.metadata(path / "weights").item_metadata.tree, target)
            weights = checkpointer.restore(path / "weights", target)
    except UserError:
        raise
    except Exception as error:  # Orbax and what it reads with raise many kinds for damaged files
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise UserError(
            f"{path / 'weights'}: damaged, or the weights do not fit student.json: {reason}"
        ) from error
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


def fingerprint(student: Student) -> str:
    """SHA-256 of all weights: what results depend on, wherever the checkpoint lies."""
    digest = hashlib.sha256(repr(student.config).encode())
    for path, variable in sorted(nnx.to_flat_state(nnx.state(student))):
        digest.update("/".join(map(str, path)).encode())
        digest.update(np.ascontiguousarray(variable.get_value()).tobytes())
    return digest.hexdigest()

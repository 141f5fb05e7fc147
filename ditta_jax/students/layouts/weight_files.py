"""Files of named arrays: torch's, `.safetensors` and `.npz`, whole or in shards; read and written.

What a file is is told by its first bytes; its ending only serves where these say nothing.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ditta_jax.errors import UserError
from ditta_jax.files import parse_json, write_atomically
from ditta_jax.names import fault_of
from ditta_jax.ranges import COLOUR, anything, fitted, several
from ditta_jax.students.card import StudentCard
from ditta_jax.students.layouts import torch_files

INDEX_ENDING = ".index.json"
_CARD = "ditta_jax"  # under this name our own files say what shapes do not show
_MOST_INDEX_BYTES = 64 * 2**20

Parts = dict[str, dict[str, np.ndarray]]


class WeightFile(NamedTuple):
    """What a file holds.

    Attributes:
        parts: arrays by key, for each set of weights in it; "" is the file itself.
        classes: names in label order, as the file has them; empty if it has none.
        palette: RGB triples, empty if the file has none.
        student: sizes that shapes do not show, if this package wrote the file.
        strange: entries that are no arrays.
    """

    parts: Parts
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    student: dict[str, Any]
    strange: list[str]


def read(path: Path) -> WeightFile:
    """Read a file, or all shards that an index names.

    Raises:
        UserError: no such file, one of another kind, a damaged one, or torch is needed and absent.
    """
    if path.is_dir():
        raise UserError(f"{path}: is a folder, not a file of weights")
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    if path.name.endswith(INDEX_ENDING):
        return _read_shards(path)
    parts, meta, strange = _reader(path)(path)
    own = meta.get(_CARD)
    if isinstance(own, dict):
        meta = {**meta, **own}
        _check_digest(path, parts, own.get("sha256"))
    student = meta.get("student")
    return WeightFile(
        parts,
        _stated(meta, ("CLASSES", "classes"), ("",), several(anything("a name"), "names")),
        _stated(meta, ("PALETTE", "palette"), ((0, 0, 0),), several(COLOUR, "", 1, 255)),
        student if isinstance(student, dict) else {},
        strange,
    )


def write(path: Path, arrays: Mapping[str, np.ndarray], card: StudentCard) -> None:
    """Write a file by its ending; it appears under its name only when it is whole.

    Raises:
        UserError: an unknown ending, or torch is needed and absent.
    """
    meta = {"CLASSES": list(card.classes), "PALETTE": [list(color) for color in card.palette]}
    own = {"student": asdict(card.config), "source": card.source, "sha256": digest_of(arrays)}
    if path.suffix in torch_files.ENDINGS:
        torch = torch_files.import_torch(path)
        tensors = {key: torch.from_numpy(np.array(array)) for key, array in arrays.items()}
        buffer = io.BytesIO()
        torch.save({"state_dict": tensors, "meta": {**meta, _CARD: own}}, buffer)
        data = buffer.getvalue()
    elif path.suffix == ".safetensors":
        from safetensors.numpy import save

        data = save(dict(arrays), {"format": "pt", _CARD: json.dumps({**meta, **own})})
    elif path.suffix == ".npz":
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays, **{_CARD: json.dumps({**meta, **own})})
        data = buffer.getvalue()
    else:
        raise UserError(f"{path}: end the name in .pth, .safetensors or .npz")
    write_atomically(path, data)


def digest_of(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of arrays with their keys and shapes."""
    digest = hashlib.sha256()
    for key in sorted(arrays):
        array = np.ascontiguousarray(arrays[key])
        digest.update(f"{key} {array.dtype} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


# ---------------------------------------------------------------------------- what kind it is


def _reader(path: Path) -> Callable[[Path], tuple[Parts, dict[str, Any], list[str]]]:
    """How a file is read, by its first bytes."""
    with open(path, "rb") as file:
        head = file.read(512)
    if head.startswith(b"version https://git-lfs"):
        raise UserError(f"{path}: is only a pointer of Git LFS; fetch the file: git lfs pull")
    if head.lstrip()[:9].lower() in (b"<!doctype", b"<html>") or head.lstrip()[:5] == b"<html":
        raise UserError(f"{path}: is a web page, not a file of weights; download the file itself")
    if not head:
        raise UserError(f"{path}: not a file of weights: it is empty")
    if zipfile.is_zipfile(path) and (kind := _zipped(path)):
        return kind
    if len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 10**9:
        return _read_safetensors
    if path.suffix in torch_files.ENDINGS or head[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04"):
        return torch_files.read
    by_ending = {".safetensors": _read_safetensors, ".npz": _read_npz}
    if path.suffix not in by_ending:
        raise UserError(f"{path}: expected a file ending in .pth, .safetensors or .npz")
    return by_ending[path.suffix]


def _zipped(path: Path) -> Callable | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError) as error:
        raise UserError(f"{path}: not a whole file: {error}") from error
    if any(name.endswith("data.pkl") for name in names):
        return torch_files.read
    return _read_npz if any(name.endswith(".npy") for name in names) else None


# ---------------------------------------------------------------------------- each kind


def _read_safetensors(path: Path) -> tuple[Parts, dict[str, Any], list[str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            text = (file.metadata() or {}).get(_CARD, "{}")
        return {"": arrays}, {_CARD: json.loads(text)}, []
    except (SafetensorError, OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not a whole safetensors file: {error}") from error


def _read_npz(path: Path) -> tuple[Parts, dict[str, Any], list[str]]:
    import zlib

    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        text = str(arrays.pop(_CARD, "{}"))
        return {"": arrays}, {_CARD: json.loads(text)}, []
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path}: not a whole .npz file of plain arrays: {error}") from error


def _read_shards(index: Path) -> WeightFile:
    """All arrays that an index spreads over files beside it."""
    try:
        if index.stat().st_size > _MOST_INDEX_BYTES:
            raise ValueError("it is too large")
        places = parse_json(index.read_bytes())["weight_map"]
        names = sorted(set(places.values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{index}: not an index of weights ('weight_map'): {error}") from error
    arrays: dict[str, np.ndarray] = {}
    for name in names:
        if fault := fault_of(name):
            raise UserError(f"{index}: names {name!r} as a file: {fault}")
        if not (index.parent / name).is_file():
            raise UserError(
                f"{index.parent / name}: no such file, and {index.name} needs it; download all "
                f"{len(names)} shards"
            )
        shard = read(index.parent / name).parts
        arrays |= {key: array for part in shard.values() for key, array in part.items()}
    lacking = [key for key in places if key not in arrays]
    if lacking:
        raise UserError(f"{index}: {lacking[0]} is not in {places[lacking[0]]}, as it should be")
    return WeightFile({"": arrays}, (), (), {}, [])


# ---------------------------------------------------------------------------- what it says


def _stated(meta: Mapping[str, Any], names: tuple[str, ...], like: Any, allowed: Any) -> Any:
    """Names or colours of a file's notes, in which they have several places; else nothing."""
    inner = meta.get("dataset_meta")
    for place in (meta, inner if isinstance(inner, dict) else {}):
        for name in names:
            try:
                if place.get(name):
                    return fitted(place[name], like, allowed)
            except ValueError:
                continue  # notes of others may be anything; what is made up in their place is said
    return ()


def _check_digest(path: Path, parts: Parts, digest: Any) -> None:
    """Notice damage of a file that this package wrote."""
    if isinstance(digest, str) and digest not in {digest_of(arrays) for arrays in parts.values()}:
        raise UserError(f"{path}: damaged: its arrays are not those that it was written with")

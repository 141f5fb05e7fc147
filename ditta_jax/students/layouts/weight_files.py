"""Files of named arrays: `.pth` (through torch), `.safetensors` and `.npz`, read and written."""

import io
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ditta_jax.errors import UserError
from ditta_jax.files import write_atomically
from ditta_jax.students.checkpoint import StudentCard

TORCH_ENDINGS = (".pth", ".pt", ".bin", ".ckpt")
_CARD = "ditta_jax"  # under this name our own files say what shapes do not show


class WeightFile(NamedTuple):
    """What a file holds.

    Attributes:
        arrays: by key, without `module.` prefixes.
        classes: names in label order, empty if the file has none.
        palette: RGB triples, empty if the file has none.
        student: fields of `SegFormerConfig`, if this package wrote the file.
    """

    arrays: dict[str, np.ndarray]
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    student: dict[str, Any]


def read(path: Path) -> WeightFile:
    """Read a file by its ending.

    Raises:
        UserError: no such file, an unknown ending, a broken file, or torch is needed and absent.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    if path.suffix in TORCH_ENDINGS:
        arrays, meta = _read_torch(path)
    elif path.suffix == ".safetensors":
        arrays, meta = _read_safetensors(path)
    elif path.suffix == ".npz":
        arrays, meta = _read_npz(path)
    else:
        raise UserError(f"{path}: expected a file ending in .pth, .safetensors or .npz")
    return _weight_file(path, arrays, meta)


def write(path: Path, arrays: Mapping[str, np.ndarray], card: StudentCard) -> None:
    """Write a file by its ending; it appears under its name only when it is whole.

    Raises:
        UserError: an unknown ending, or torch is needed and absent.
    """
    meta = {"CLASSES": list(card.classes), "PALETTE": [list(color) for color in card.palette]}
    own = {"student": asdict(card.config), "source": card.source}
    if path.suffix in TORCH_ENDINGS:
        torch = _torch(path)
        tensors = {key: torch.from_numpy(np.array(array)) for key, array in arrays.items()}
        buffer = io.BytesIO()
        torch.save({"state_dict": tensors, "meta": {**meta, _CARD: own}}, buffer)
        data = buffer.getvalue()
    elif path.suffix == ".safetensors":
        from safetensors.numpy import save

        data = save(dict(arrays), {_CARD: json.dumps({**meta, **own})})
    elif path.suffix == ".npz":
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays, **{_CARD: json.dumps({**meta, **own})})
        data = buffer.getvalue()
    else:
        raise UserError(f"{path}: end the name in .pth, .safetensors or .npz")
    write_atomically(path, data)


def _read_torch(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    torch = _torch(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a file it cannot or will not read
        raise UserError(
            f"{path}: not a file torch can read with weights_only=True "
            f"({type(error).__name__}: {str(error).strip().splitlines()[0][:200]}); "
            "save its state dict alone, as tensors"
        ) from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected a state dict, not {type(content).__name__}")
    meta = content.get("meta", {})
    state = content.get("state_dict", content)
    strange = [key for key, value in state.items() if not isinstance(value, torch.Tensor)]
    if strange:
        raise UserError(
            f"{path}: expected a state dict, or one under 'state_dict'; not tensors: "
            f"{', '.join(map(str, strange[:10]))}"
        )
    arrays = {}
    for key, tensor in state.items():
        tensor = tensor.float() if tensor.is_floating_point() else tensor
        arrays[key] = tensor.numpy()
    meta = meta if isinstance(meta, dict) else {}
    return arrays, {**meta, **meta.get(_CARD, {})}


def _torch(path: Path):
    try:
        import torch
    except ImportError as error:
        raise UserError(
            f"{path}: {path.suffix} files need torch, which is not installed here; run this "
            "command where it is, or use .safetensors or .npz"
        ) from error
    return torch


def _read_safetensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            text = (file.metadata() or {}).get(_CARD, "{}")
        return arrays, json.loads(text)
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise UserError(f"{path}: not a whole safetensors file: {error}") from error


def _read_npz(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    import zipfile

    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        text = str(arrays.pop(_CARD, "{}"))
        return arrays, json.loads(text)
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: not a whole .npz file of plain arrays: {error}") from error


def _weight_file(path: Path, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> WeightFile:
    """Strip `module.` prefixes and read names and colours, which mmsegmentation writes too."""
    stripped = {_without_module(key): array for key, array in arrays.items()}
    if len(stripped) != len(arrays):
        raise UserError(f"{path}: keys with and without 'module.' name the same arrays")
    classes = tuple(str(name) for name in meta.get("CLASSES") or ())
    palette = tuple((int(r), int(g), int(b)) for r, g, b in meta.get("PALETTE") or ())
    return WeightFile(stripped, classes, palette, meta.get("student", {}))


def _without_module(key: str) -> str:
    while key.startswith("module."):
        key = key.removeprefix("module.")
    return key

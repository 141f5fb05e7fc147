"""Files that torch wrote: read as tensors only, never as code, whatever is wrapped around them.

Trainers keep a state dict under many names, beside optimisers, averages and notes. Every set of
tensors in a file is a part, named by where it is; `key_names` says which part is the model.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ditta_jax.errors import UserError

ENDINGS = (".pth", ".pt", ".bin", ".ckpt", ".tar", ".pkl", ".model")
_MOST_DEPTH = 6  # of dicts in dicts

# Saves the tensors of a file that holds more; runs what is in it, so it is for people to decide.
_RESCUE = (
    "c = torch.load({source!r}, 'cpu', weights_only=False); "
    "c = c.state_dict() if hasattr(c, 'state_dict') else c; "
    "c = next((c[k] for k in ('state_dict', 'model_state_dict', 'model') if k in c), c); "
    "c = c.state_dict() if hasattr(c, 'state_dict') else c; "
    "torch.save({{k: v for k, v in c.items() if torch.is_tensor(v)}}, {saved!r})"
)


def import_torch(path: Path) -> Any:
    """The module torch.

    Raises:
        UserError: it is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise UserError(
            f"{path}: {path.suffix} files need torch, which is not installed here; run this "
            "command where it is, or use .safetensors or .npz"
        ) from error
    return torch


def read(path: Path) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, Any], list[str]]:
    """The parts of a file, its `meta` and the entries that are no tensors.

    Raises:
        UserError: torch is absent, the file is damaged, or it holds code or no tensors.
    """
    torch = import_torch(path)
    _check_sums(path)
    try:
        with open(path, "rb") as file:  # of a path torch looks at the ending
            content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a file it cannot or will not read
        raise UserError(_refusal(path, error)) from error
    if not isinstance(content, Mapping):
        raise UserError(f"{path}: expected a state dict, not {type(content).__name__}")
    parts, strange = {}, []
    for name, tensors in _dicts(content):
        found = {str(key): v for key, v in tensors.items() if isinstance(v, torch.Tensor)}
        strange += [
            f"{name}.{key}".removeprefix(".")
            for key, v in tensors.items()
            if not isinstance(v, torch.Tensor | Mapping)
        ]
        if found:
            parts[name] = {key: _array(path, key, tensor) for key, tensor in found.items()}
    if not parts:
        raise UserError(
            f"{path}: expected a state dict, or one under 'state_dict'; not tensors: "
            f"{', '.join(strange[:10]) or 'it is empty'}"
        )
    meta = content.get("meta", {})
    return parts, meta if isinstance(meta, dict) else {}, strange


def _dicts(content: Mapping[Any, Any], name: str = "", depth: int = 0) -> Iterator[tuple]:
    """Every dict within a dict, with its dotted place; outer ones first."""
    yield name, content
    if depth < _MOST_DEPTH:
        for key, value in content.items():
            if isinstance(value, Mapping):
                yield from _dicts(value, f"{name}.{key}".removeprefix("."), depth + 1)


def _array(path: Path, key: str, tensor: Any) -> np.ndarray:
    try:
        tensor = tensor.detach()
        return (tensor.float() if tensor.is_floating_point() else tensor).numpy()
    except (RuntimeError, TypeError, NotImplementedError) as error:  # quantised, sparse, on meta
        raise UserError(f"{path}: {key} cannot be read as plain numbers: {error}") from error


def _check_sums(path: Path) -> None:
    """Notice damage by the checksums of torch's archives, which torch itself does not look at."""
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise UserError(f"{path}: not a whole file of torch: {error}") from error
    if damaged:
        raise UserError(f"{path}: not a whole file of torch: {damaged} is damaged (its checksum)")


def _refusal(path: Path, error: Exception) -> str:
    """What torch says in one line; of a file that holds more than tensors, what that is."""
    said = " ".join(str(error).split())
    culprit = re.search(r"GLOBAL ([\w.]+)", said) or re.search(r"Unsupported class ([\w.]+)", said)
    if culprit is None:
        return f"{path}: not a file torch can read with weights_only=True: {said[:200]}"
    saved = path.with_name(f"{path.name.partition('.')[0]}_tensors.pth")
    program = _RESCUE.format(source=str(path), saved=str(saved))
    return (
        f"{path}: holds {culprit[1]}, which is code and not a tensor; this program reads tensors "
        "only (weights_only=True). If you trust the file, save its tensors with: "
        f'python -c "import torch; {program}"'
    )

"""Who the teacher is, told without PyTorch: the part of the cache key that names it."""

from __future__ import annotations

import functools
import hashlib
import re
from importlib.resources import files
from pathlib import Path

from ditta_jax.errors import UserError
from ditta_jax.teacher.imported_masks import FORMS, mask_files
from ditta_jax.teacher.sam2_names import full_name

EMBEDDED = "embedded"  # the nano SAM 2 that ships with this package
# Followed by a folder of another tracker's masks (`imported_masks`); two names for the same.
IMPORTED = ("masks:", "palette:")
FLOW = "flow"  # optical flow, without weights
_FLOW_VERSION = 1  # raised when its masks change
DTYPES = ("float32", "bfloat16")
_BY_DIGEST = "sha256:"
# Raised when the search itself or the post-processing changes, so that old masklets are not used.
_SEARCH_VERSION = 1


def teacher_identity(
    config: str,
    checkpoint: str = "",
    dtype: str = "float32",
    mask_threshold: float = 0.0,
    target: str = "",
) -> dict[str, str]:
    """Return what determines the teacher's masks besides the request: same values, same key.

    Args:
        config: `embedded`, a configuration that the `sam2` package holds, by its file
            (`configs/sam2.1/sam2.1_hiera_l.yaml`) or a shorter name (`sam2.1_hiera_l`, `large`), a
            YAML file of one's own, `masks:FOLDER`, or `flow`.
        checkpoint: the weights' file; `sha256:<hex>` where that file is on another machine.
        dtype: "float32", or "bfloat16" for automatic mixed precision.
        mask_threshold: logit above which a pixel belongs to a mask.
        target: class of a fork's predictor, `package.module.Class`; empty for SAM 2's.

    Raises:
        UserError: a file is missing or a value is none of the above.
    """
    if config.startswith(IMPORTED):
        return {"teacher": "palette", "content": _digest_of_folder(imported_folder(config))}
    if config == FLOW:
        return {"teacher": FLOW, "version": str(_FLOW_VERSION), "search": str(_SEARCH_VERSION)}
    if dtype not in DTYPES:
        raise UserError(f"teacher.dtype: {dtype!r}, expected one of {', '.join(DTYPES)}")
    if target and not all(part.isidentifier() for part in target.split(".")):
        raise UserError(f"teacher.target: {target!r}, expected a class as package.module.Class")
    # SAM 2's own threshold is not named, so that masklets from before it was a setting stay good.
    changed = {"mask_threshold": repr(float(mask_threshold))} if mask_threshold else {}
    changed |= {"target": target} if target else {}
    return changed | {
        "teacher": "sam2",
        "config": _config_identity(config),
        "weights": _weights_identity(config, checkpoint),
        "dtype": dtype,
        "search": str(_SEARCH_VERSION),
    }


def imported_folder(config: str) -> Path:
    """Return the folder that `masks:FOLDER` names; UserError where it names none."""
    folder = config.partition(":")[2]
    if not folder.strip():
        raise UserError(f"teacher.config: {config!r} has no masks in it; write masks:FOLDER")
    return Path(folder).expanduser()


def embedded_weights() -> Path:
    """Return where the weights of the embedded teacher lie."""
    return Path(str(files("teacher_bridge"))) / "nano" / "weights" / "sam2_nano.safetensors"


def weights_file(path: Path) -> Path:
    """Return the file of weights: itself, or that in a folder of Hugging Face."""
    return path / "model.safetensors" if path.is_dir() else path


def own_config(config: str) -> Path | None:
    """Return the YAML file that `config` names, None for one that the `sam2` package holds."""
    path = Path(config).expanduser()
    if path.is_absolute() or path.is_file():
        if not path.is_file() or path.suffix != ".yaml":
            raise UserError(f"teacher.config: {path}: no such .yaml file")
        return path.resolve()
    return None


def _config_identity(config: str) -> str:
    if config == EMBEDDED:
        return EMBEDDED
    path = own_config(config)
    if path is not None:
        return _BY_DIGEST + _digest_of_file(path)
    return full_name(config)


def _weights_identity(config: str, checkpoint: str) -> str:
    if checkpoint.startswith(_BY_DIGEST):
        digest = checkpoint.removeprefix(_BY_DIGEST).lower()
        if not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise UserError(f"teacher.checkpoint: {checkpoint!r}, expected sha256: and 64 digits")
        return digest
    if checkpoint:
        path = weights_file(Path(checkpoint).expanduser())
    elif config == EMBEDDED:
        path = embedded_weights()
    else:
        raise UserError(
            f"teacher.checkpoint: empty; {config} needs the file of its weights, or sha256:<hex>"
            " of it where it lies on another machine"
        )
    if not path.is_file():
        raise UserError(f"teacher.checkpoint: {path}: no such file")
    return _digest_of_file(path)


def _digest_of_file(path: Path) -> str:
    state = path.stat()
    return _hash(path.resolve(), state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=4096)
def _hash(path: Path, size: int, modified: int) -> str:
    """SHA-256 of a file; size and time of modification are there to notice a changed one."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest_of_folder(folder: Path) -> str:
    images = mask_files(folder)
    if not images:
        raise UserError(f"teacher.config: {folder}: no masks in it; expected {FORMS}")
    listing = [
        f"{image.relative_to(folder).as_posix()} {_digest_of_file(image)}" for image in images
    ]
    return hashlib.sha256("\n".join(listing).encode()).hexdigest()

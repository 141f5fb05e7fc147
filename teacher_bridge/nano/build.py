"""Builds the nano SAM 2 as a real `sam2` video predictor, with the weights shipped here."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

CONFIG = Path(__file__).with_name("sam2_nano.yaml")
WEIGHTS = Path(__file__).with_name("weights") / "sam2_nano.safetensors"
IMAGE_SIZE = 192


def build_nano_predictor(
    checkpoint: Path | str | None = None, device: str = "cpu", **overrides: Any
) -> torch.nn.Module:
    """Return the result of `sam2.build_sam.build_sam2_video_predictor` for the nano model.

    Args:
        checkpoint: `.safetensors` or `.pt` file (of any floating type; computed in float32);
            None takes the shipped weights.
        device: torch device of the predictor.
        overrides: further arguments of `build_sam2_video_predictor`, such as
            `apply_postprocessing=False`, `mode="train"` or `hydra_overrides_extra=[...]`.
    """
    path = WEIGHTS if checkpoint is None else Path(checkpoint)
    state = read_weights(path)
    predictor = build_untrained_predictor(device, **overrides)
    try:
        predictor.load_state_dict(state, strict=True)
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise SystemExit(f"{path}: not weights of the nano SAM 2: {first}") from None
    return predictor


def build_untrained_predictor(device: str = "cpu", **overrides: Any) -> torch.nn.Module:
    """Return the nano predictor with the random weights of the `sam2` package."""
    from sam2.build_sam import build_sam2_video_predictor

    # Two slashes make Hydra take the path as absolute: its search path, which `sam2` sets on
    # import and which other SAM 2 models in this process need, stays as it is.
    return build_sam2_video_predictor(f"//{CONFIG}", None, device=device, **overrides)


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read a state dict, floating tensors as float32; a `.pt` file may hold it under `model`."""
    if path.suffix == ".safetensors" and path.is_file():
        try:
            state: dict[str, Any] = load_file(path)
        except (SafetensorError, OSError) as error:
            raise SystemExit(f"{path}: cannot be read: {str(error).splitlines()[0]}") from None
    else:
        state = read_torch_file(path)
    weights: dict[str, torch.Tensor] = state.get("model", state)
    return {k: v.float() if v.is_floating_point() else v for k, v in weights.items()}


def read_torch_file(path: Path) -> dict[str, Any]:
    """Read tensors and plain values that `torch.save` wrote."""
    if not path.is_file():
        raise SystemExit(f"{path}: no such file")
    if not zipfile.is_zipfile(path):
        raise SystemExit(f"{path}: cannot be read: not a whole file of torch.save")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, OSError, RuntimeError) as error:
        raise SystemExit(f"{path}: cannot be read: {str(error).splitlines()[0]}") from None


def write_weights(path: Path, state: dict[str, torch.Tensor]) -> None:
    """Write a state dict as safetensors in half precision, by way of a temporary name."""
    half = {
        k: (v.half() if v.is_floating_point() else v).detach().cpu().contiguous()
        for k, v in state.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    save_file(half, partial, metadata={"format": "pt", "model": "sam2_nano"})
    partial.chmod(0o644)
    partial.replace(path)

"""SAM 2 as a `Tracker`: building it from configuration and weights, and driving it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool

from ditta_jax.errors import UserError
from ditta_jax.teacher.cache import Entry
from ditta_jax.teacher.identity import EMBEDDED, embedded_weights, own_config, weights_file
from ditta_jax.teacher.sam2_names import full_name
from teacher_bridge.sam2.batch import Prompt
from teacher_bridge.sam2.huggingface_layout import is_huggingface, to_package_layout
from teacher_bridge.sam2.tracker import FrameMasks

if TYPE_CHECKING:
    import torch

    from teacher_bridge.sam2.video_predictor import VideoPredictor

_OURS = "teacher_bridge.sam2.video_predictor.VideoPredictor"


def build_predictor(
    config: str, checkpoint: str = "", device: str = "auto", target: str = ""
) -> VideoPredictor:
    """Build SAM 2's video predictor with SAM 2's default post-processing.

    Args:
        config: `embedded`, a configuration of the `sam2` package, or a YAML file.
        checkpoint: `.pt` (as released: a state dict under `model`) or `.safetensors`, also a folder
            of `transformers`; empty for the
            weights that ship with `embedded`.
        device: a torch device; `auto` takes a CUDA GPU if there is one.
        target: class of the predictor, `package.module.Class`; empty for this program's own. Drive
            another one by `package_tracker.PackageTracker`.

    Raises:
        UserError: a package, a file or the device is missing, or weights and configuration differ.
    """
    _require_packages()
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException
    from sam2.build_sam import build_sam2_video_predictor
    from yaml import YAMLError  # type: ignore[import-untyped]

    path = Path(str(files("teacher_bridge"))) / "nano" / "sam2_nano.yaml"
    own = path if config == EMBEDDED else own_config(config)
    weights = Path(checkpoint).expanduser() if checkpoint else embedded_weights()
    state = read_weights(weights)
    torch_device = resolve_device(device)
    try:
        # Two slashes: Hydra takes what follows as an absolute path.
        name = full_name(config) if own is None else f"//{own}"
        predictor = build_sam2_video_predictor(
            name,
            None,
            device=torch_device,
            hydra_overrides_extra=[f"++model._target_={target or _OURS}"],
        )
    except (HydraException, OmegaConfBaseException, YAMLError, OSError, TypeError) as error:
        raise UserError(f"teacher.config: {config}: not usable ({_first_line(error)})") from None
    try:
        predictor.load_state_dict(state)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()[:200]
        raise UserError(f"{weights}: these weights are not of {config} ({reason})") from None
    return predictor


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read a state dict, floating tensors as float32, in the layout of the `sam2` package.

    A folder is one of `transformers`, whose names are translated. UserError if it is neither.
    """
    import torch

    path = weights_file(path)
    if not path.is_file():
        raise UserError(f"teacher.checkpoint: {path}: no such file")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
            state = state.get("model", state)
        if is_huggingface(state):
            state = to_package_layout(state)
        return {k: v.float() if v.is_floating_point() else v for k, v in state.items()}
    except Exception as error:  # unpickling and safetensors fail in many ways, at length
        raise UserError(
            f"teacher.checkpoint: {path}: not a whole file of PyTorch or safetensors weights"
            f" ({type(error).__name__})"
        ) from None


def resolve_device(device: str) -> torch.device:
    """Return the torch device; UserError if this machine has none such."""
    import torch

    name = device
    if device == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name)
        return torch.device(name)
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f"teacher.device: {device!r} cannot be used here ({_first_line(error)}); try 'cpu'"
        ) from None


class Sam2Tracker:
    """A `Tracker` on one entry's frames.

    Prompts are kept until their result is asked for: they are then given together, and the last
    ones of the backward pass, whose result nobody needs, cost nothing.
    """

    def __init__(
        self,
        predictor: VideoPredictor,
        entry: Entry,
        dtype: str = "float32",
        mask_threshold: float = 0.0,
    ) -> None:
        """Take a predictor, the frames, "float32" or "bfloat16" (mixed precision), a logit."""
        from teacher_bridge.sam2.frames import EntryFrames

        self._predictor = predictor
        self._dtype = dtype
        self._mask_threshold = mask_threshold
        self._prompts: dict[int, tuple[int, Prompt]] = {}  # object: frame, prompt
        self._walk: Iterator[tuple[int, torch.Tensor]] | None = None
        frames = EntryFrames(
            entry.frame_files,
            entry.frame_digests,
            entry.request.size,
            predictor.image_size,
            predictor.device,
        )
        with mixed_precision(self._predictor.device, self._dtype):
            self._state = predictor.start(frames)

    def reset(self) -> None:
        """Forget all objects, not the frames' features."""
        self._walk, self._prompts = None, {}

    def click(self, frame: int, object_id: int, y: int, x: int) -> None:
        """Add an object by a positive click."""
        self._add(frame, object_id, Prompt((float(x), float(y))))

    def mask(self, frame: int, object_id: int, mask: Bool[np.ndarray, "H W"]) -> None:
        """Add an object by its mask."""
        import torch

        self._add(frame, object_id, Prompt(None, torch.from_numpy(mask.copy())))

    def propagate(self, frame: int, *, reverse: bool = False) -> FrameMasks:
        """Return the masks on a frame (logits above the threshold), tracked from the last one."""
        with mixed_precision(self._predictor.device, self._dtype):
            if self._walk is None:
                self._walk = self._predictor.walk(self._state, frame, self._given(frame), reverse)
            found, logits = next(self._walk)
        if found != frame:
            raise ValueError(f"frame {frame} asked for, {found} is next")
        masks = (logits[:, 0] > self._mask_threshold).cpu().numpy()
        return FrameMasks(tuple(self._prompts), masks)

    def _add(self, frame: int, object_id: int, prompt: Prompt) -> None:
        self._walk = None
        self._prompts[object_id] = frame, prompt

    def _given(self, frame: int) -> list[Prompt]:
        if any(prompted != frame for prompted, _ in self._prompts.values()):
            raise ValueError(f"an object is prompted on another frame than {frame}")
        return [prompt for _, prompt in self._prompts.values()]


def mixed_precision(device: torch.device, dtype: str) -> AbstractContextManager[Any]:
    """Return the context in which a predictor is to be called for this dtype."""
    import torch

    if dtype == "bfloat16":
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()


def _require_packages() -> None:
    for package in ("torch", "sam2"):
        try:
            __import__(package)
        except ImportError as error:
            raise UserError(
                f"the teacher needs the package {package!r}, which cannot be imported ({error});"
                " install it with: pip install 'ditta-jax[teacher]'"
            ) from None


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__

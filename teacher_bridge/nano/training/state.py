"""The state of a training: model, optimisers, averaged weights, time spent; saved and resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from teacher_bridge.nano.build import build_untrained_predictor, read_torch_file
from teacher_bridge.nano.training.initialisation import initialise
from teacher_bridge.nano.training.losses import ClickAffinity
from teacher_bridge.nano.training.schedule import average_decay, learning_rate

ADAM_RATE, MUON_RATE = 3.5e-4, 4.5e-4
WEIGHT_DECAY = 0.05
CLIP_NORM = 5.0


class TrainingState:
    """Everything a resumed training needs; identical in every worker."""

    def __init__(self, seed: int) -> None:
        torch.manual_seed(seed)
        self.model = build_untrained_predictor(apply_postprocessing=False, mode="train")
        initialise(self.model)
        decoder: Any = self.model.sam_mask_decoder
        # The upscaled embedding has an eighth of the decoder's channels.
        self.affinity = ClickAffinity(decoder.transformer_dim // 8)
        self.average = {k: v.clone() for k, v in self.model.state_dict().items()}
        self.optimisers = _optimisers(self.model, self.affinity)
        self.step = 0
        self.seconds = 0.0  # spent on training, over all sessions

    def parameters(self) -> list[nn.Parameter]:
        """Return all trained parameters, always in the same order."""
        return [*self.model.parameters(), *self.affinity.parameters()]

    def update(self, spent: float) -> float:
        """Apply the gradients at hand and return their norm; skip what is not finite."""
        norm = float(nn.utils.clip_grad_norm_(self.parameters(), CLIP_NORM))
        factor = learning_rate(spent, self.step)
        for optimiser, rate in zip(self.optimisers, (ADAM_RATE, MUON_RATE), strict=True):
            for group in optimiser.param_groups:
                group["lr"] = rate * factor
            if norm < float("inf"):
                optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        self.step += 1
        move_average(self.average, self.model.state_dict(), average_decay(self.step))
        return norm

    def save(self, path: Path) -> None:
        """Write the state by way of a temporary name."""
        content = {
            "model": self.model.state_dict(),
            "affinity": self.affinity.state_dict(),
            "average": self.average,
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "step": self.step,
            "seconds": self.seconds,
        }
        partial = path.with_name(path.name + ".partial")
        torch.save(content, partial)
        partial.replace(path)

    def begin(self, weights: dict[str, Tensor], seconds: float) -> None:
        """Take over weights without their optimisers, as if so many seconds had been spent."""
        self.model.load_state_dict(weights)
        self.average = {k: v.clone() for k, v in self.model.state_dict().items()}
        self.seconds = seconds

    def load(self, path: Path) -> None:
        """Read a state that `save` wrote."""
        content = read_torch_file(path)
        self.model.load_state_dict(content["model"])
        self.affinity.load_state_dict(content["affinity"])
        self.average = content["average"]
        for optimiser, saved in zip(self.optimisers, content["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.step, self.seconds = content["step"], content["seconds"]


def _optimisers(model: nn.Module, affinity: nn.Module) -> list[torch.optim.Optimizer]:
    """AdamW for all but the matrices of the transformers, which Muon trains in fewer steps."""
    matrices, others, plain = [], [], list(affinity.parameters())
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2 and any(s in name for s in ("blocks", "transformer", "attention")):
            matrices.append(parameter)
        elif parameter.ndim > 1:
            others.append(parameter)
        else:
            plain.append(parameter)
    groups = [
        {"params": others, "weight_decay": WEIGHT_DECAY},
        {"params": plain, "weight_decay": 0.0},
    ]
    return [
        torch.optim.AdamW(groups, lr=ADAM_RATE, betas=(0.9, 0.98)),
        torch.optim.Muon(
            matrices, lr=MUON_RATE, weight_decay=WEIGHT_DECAY, adjust_lr_fn="match_rms_adamw"
        ),
    ]


@torch.no_grad()
def move_average(average: dict[str, Tensor], current: dict[str, Tensor], decay: float) -> None:
    """Set average = decay * average + (1 - decay) * current, in place; copy integers."""
    for name, value in current.items():
        if value.is_floating_point():
            average[name].lerp_(value, 1 - decay)
        else:
            average[name].copy_(value)

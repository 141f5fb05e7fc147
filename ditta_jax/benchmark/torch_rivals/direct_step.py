"""One step of the adaptation, all passes, and frozen inference, in plain eager PyTorch.

`Adaptation` holds what a step reads and writes: live and momentum network, AdamW, prototypes. It
imports no test framework, so that a benchmark can use it as the directly evaluated rival.
"""

import copy
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ditta_jax.benchmark.torch_rivals import direct_losses
from ditta_jax.benchmark.torch_rivals.direct_decoder import ClipOutput, Student


class Target(NamedTuple):
    """What a warm-up frame is adapted to.

    Attributes:
        label: distillation label `[H, W]` int64, 255 ignored.
        object_ids: `[H, W]` int64, 0 where there is no object.
    """

    label: Tensor
    object_ids: Tensor


class Losses(NamedTuple):
    """The terms of Eq. 8; None for a term that a step does not have."""

    distill: Tensor
    fused: Tensor | None
    contrast: Tensor | None

    def total(self) -> Tensor:
        """Sum of the terms that exist."""
        return torch.stack([term for term in self if term is not None]).sum()

    def row(self) -> list[float]:
        """The terms and their sum as numbers, NaN for a missing one."""
        terms = [float("nan") if term is None else term.item() for term in self]
        return [*terms, self.total().item()]


class Settings(NamedTuple):
    """Numbers of stage C and D with the method's defaults."""

    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 1e-2
    momentum: float = 0.99
    temperature: float = 1.0
    threshold: float = 0.8


class Adaptation:
    """State of the adaptation of one video."""

    def __init__(self, student: Student, settings: Settings = Settings()):  # noqa: B008
        """Copy the pre-trained student; it is not changed."""
        self.settings = settings
        self.live = copy.deepcopy(student).train()
        self.momentum = copy.deepcopy(student).train()
        for parameter in [*self.live.backbone.parameters(), *self.momentum.parameters()]:
            parameter.requires_grad_(False)
        self.optimiser = torch.optim.AdamW(
            self.live.decode_head.parameters(),
            lr=settings.learning_rate,
            betas=settings.betas,
            eps=settings.eps,
            weight_decay=settings.weight_decay,
        )
        self.prototypes: direct_losses.Prototypes = {}

    def losses(self, clip: Tensor, target: Target) -> Losses:
        """Forward of both networks and the three terms; stores the new prototypes.

        Args:
            clip: normalised images `[n, 3, H_i, W_i]`, n = 1 at t = 0 and 2 later.
            target: of the clip's last frame.
        """
        live: ClipOutput = self.live(clip)
        with torch.no_grad():
            slow: ClipOutput = self.momentum(clip)
        sizes = (clip.shape[2:], target.label.shape)
        plain = direct_losses.probabilities(live.plain, sizes)
        distill = direct_losses.cross_entropy(plain, target.label)
        fused = None
        if live.fused is not None:
            fused = direct_losses.cross_entropy(
                direct_losses.probabilities(live.fused, sizes), target.label
            )
        rho = direct_losses.momentum_reliability(direct_losses.probabilities(slow.plain, sizes))
        contrast, self.prototypes = direct_losses.contrast(
            live.projected,
            slow.projected,
            rho,
            target.object_ids,
            self.prototypes,
            self.settings.temperature,
        )
        return Losses(distill, fused, contrast)

    def step(self, clip: Tensor, target: Target) -> Losses:
        """Losses, AdamW on the live decoder, then the momentum network's average."""
        losses = self.losses(clip, target)
        self.optimiser.zero_grad()
        losses.total().backward()
        self.optimiser.step()
        average_into(self.momentum, self.live, self.settings.momentum)
        return losses

    def run(
        self, frames: Sequence[Tensor], targets: Sequence[Target | None], passes: int
    ) -> list[Losses]:
        """All passes over the warm-up frames; frames without a target are skipped.

        Args:
            frames: normalised images `[3, H_i, W_i]` of the warm-up.
            targets: one per frame.
            passes: `iters`.
        """
        rows = []
        for _ in range(passes):
            for t, target in enumerate(targets):
                if target is not None:
                    clip = torch.stack(list(frames[max(t - 1, 0) : t + 1]))
                    rows.append(self.step(clip, target))
        return rows


@torch.no_grad()
def average_into(momentum: nn.Module, live: nn.Module, keep: float) -> None:
    """Parameters, not buffers: `momentum ← keep · momentum + (1 − keep) · live`."""
    for slow, fast in zip(momentum.parameters(), live.parameters(), strict=True):
        slow.copy_(keep * slow + (1.0 - keep) * fast)


def targets_from_objects(
    student_labels: Tensor, object_ids: dict[int, Tensor], score: Tensor
) -> list[Target | None]:
    """Eq. 5: the object's class inside objects, the student's label elsewhere.

    Args:
        student_labels: `[T, H, W]` int64.
        object_ids: `[H, W]` int64 by frame; a frame that is missing has no target.
        score: `[O + 1, C]`, row = object id; an object with an all-zero row leaves the student's
            label in place (that is what "ignored" means in the released program).
    """
    classes = score.argmax(1)
    votes = score.amax(1) > 0
    targets: list[Target | None] = []
    for t, label in enumerate(student_labels):
        ids = object_ids.get(t)
        if ids is None:
            targets.append(None)
        else:
            targets.append(Target(torch.where(votes[ids], classes[ids], label), ids))
    return targets


@torch.no_grad()
def predict_plain(student: Student, frame: Tensor, size: Sequence[int]) -> Tensor:
    """Evaluation-mode probabilities `[C, H, W]` of the plain branch for one frame."""
    output = student.eval()(frame[None])
    return direct_losses.probabilities(output.plain, (frame.shape[1:], size))


@torch.no_grad()
def predict_fused(
    student: Student,
    frames: Sequence[Tensor],
    size: Sequence[int],
    first: int,
    threshold: float = 0.8,
) -> Iterator[Tensor]:
    """Stage D: labels `[H, W]` of frames `first …`, each a clip with its previous frame.

    Args:
        student: adapted; put in evaluation mode.
        frames: normalised images `[3, H_i, W_i]` of the whole video.
        size: source size `(H, W)`.
        first: first frame to label.
        threshold: τ of Eq. 3.
    """
    student.eval()
    for t in range(first, len(frames)):
        clip = torch.stack(list(frames[max(t - 1, 0) : t + 1]))
        output = student(clip)
        sizes = (clip.shape[2:], size)
        p = direct_losses.probabilities(output.plain, sizes)
        if output.fused is not None:
            fused = direct_losses.probabilities(output.fused, sizes)
            p = direct_losses.fuse_branches(p, fused, threshold)
        yield p.argmax(0)

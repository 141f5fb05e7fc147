"""What the computation may be told, in one frozen value: the paper's numbers are the defaults."""

import dataclasses

from ditta_jax.algorithm.adaptation import TERMS, AdaptationSettings
from ditta_jax.algorithm.optimiser import Hyperparameters
from ditta_jax.ranges import SETTINGS, fit_fields

_LR = 1e-3  # the paper's


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of all stages; `dataclasses.replace` makes another.

    Their ranges are those of a configuration: `ditta_jax.ranges.SETTINGS`.

    Attributes:
        iters: passes over the warm-up frames.
        lr: learning rate of AdamW; None: what the teacher of the masks asks for, else the paper's.
        beta1: of AdamW; beta2, eps and weight_decay likewise.
        momentum: share of itself that the momentum network keeps at each step.
        dropout: rate of the channel dropout.
        train: which parameters move: "decoder" (fusion included), "classifier", "addon", "norms"
            or "all" (the encoder included).
        least_frames: warm-ups are padded to at least so many frames; 0: to a few sizes.
        area_power: λ_area of Eq. 4.
        frequency_power: λ_freq of Eq. 4.
        loss_on: "probabilities" (as released) or "logits".
        terms: of the loss (Eq. 8), at least one of "plain", "fused" and "contrast"; what is left
            out is not computed. A weight that none of them reaches decays all the same.
        gradient_norm: whether the gradient's norm is told beside the losses of each step.
        temperature: of the contrastive loss, a divisor.
        stochastic_depth: of the frozen encoder; above 0 it is recomputed at each step.
        threshold: τ of Eq. 3.
        scale: longer and shorter side of the network's input at most, pixels.
        divisor: the input's sides are multiples of it.
        compute: dtype of activations: "float32", "bfloat16" or "float64".
        matmul: precision of float32 products: "default", "high" or "highest".
        protocol: "freeze" after the warm-up, or "online": methods that can learn all along do.
        seed: of everything that is drawn.
    """

    iters: int = 5
    lr: float | None = None
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 1e-2
    momentum: float = 0.99
    dropout: float = 0.1
    train: str = "decoder"
    least_frames: int = 0
    area_power: float = 0.3
    frequency_power: float = 0.8
    loss_on: str = "probabilities"
    terms: tuple[str, ...] = TERMS
    gradient_norm: bool = False
    temperature: float = 1.0
    stochastic_depth: float = 0.0
    threshold: float = 0.8
    scale: tuple[int, int] = (853, 480)
    divisor: int = 32
    compute: str = "float32"
    matmul: str = "highest"
    protocol: str = "freeze"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse values that do not exist.

        Raises:
            UserError: names the setting, the value and what is allowed.
        """
        fit_fields(self, SETTINGS, "{}", likes={"lr": _LR})

    def hyperparameters(self) -> Hyperparameters:
        """The numbers that a compiled adaptation takes as arguments."""
        values = {name: getattr(self, name) for name in Hyperparameters._fields}
        return Hyperparameters(**{**values, "lr": _LR if self.lr is None else self.lr})

    def compiled(self, input_size: tuple[int, int]) -> AdaptationSettings:
        """The settings that choose what an adaptation at (Hi, Wi) = `input_size` compiles to."""
        shared = [name for name in AdaptationSettings._fields if name != "input_size"]
        return AdaptationSettings(input_size, **{name: getattr(self, name) for name in shared})

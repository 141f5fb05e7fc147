"""What the computation may be told, in one frozen value: the paper's numbers are the defaults."""

import dataclasses
import math
from typing import Any

from ditta_jax.algorithm.adaptation import TERMS, AdaptationSettings
from ditta_jax.algorithm.optimiser import Hyperparameters
from ditta_jax.algorithm.precision import COMPUTE, MATMUL
from ditta_jax.errors import UserError
from ditta_jax.students.fusion import ATTENTIONS
from ditta_jax.students.groups import GROUPS

PROTOCOLS = ("freeze", "online")
_LOSS_ON = ("probabilities", "logits")
_LR = 1e-3  # the paper's


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of all stages; `dataclasses.replace` makes another.

    Attributes:
        iters: passes over the warm-up frames, at least 1.
        lr: learning rate of AdamW, at least 0; None: what the teacher of the masks asks for, else
            the paper's.
        beta1: of AdamW, at least 0 and below 1; beta2 likewise; eps, weight_decay: at least 0.
        momentum: share of itself that the momentum network keeps at each step, 0 to 1.
        dropout: rate of the channel dropout, below 1.
        train: which parameters move: "decoder" (fusion included), "classifier", "addon", "norms"
            or "all" (the encoder included).
        least_frames: warm-ups are padded to at least so many frames; 0: to a few sizes.
        area_power: λ_area of Eq. 4, at least 0.
        frequency_power: λ_freq of Eq. 4, at least 0.
        loss_on: "probabilities" (as released) or "logits".
        terms: of the loss (Eq. 8), at least one of "plain", "fused" and "contrast"; what is left
            out is not computed. A weight that none of them reaches decays all the same.
        temperature: of the contrastive loss, above 0.
        stochastic_depth: of the frozen encoder, below 1; above 0 it is recomputed at each step.
        threshold: τ of Eq. 3, 0 to 1.
        attention: program of the fusion's attention: "tiles" or "pallas".
        scale: longer and shorter side of the network's input at most, pixels.
        divisor: the input's sides are multiples of it.
        compute: dtype of activations: "float32", "bfloat16" or "float64".
        matmul: precision of float32 products: "default", "high" or "highest".
        protocol: "freeze" after the warm-up, or "online": methods that can learn all along do.
        seed: of everything that is drawn, 0 to 2³² − 1.
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
    temperature: float = 1.0
    stochastic_depth: float = 0.0
    threshold: float = 0.8
    attention: str = "tiles"
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
        for name, known in _CHOICES.items():
            _check(name, getattr(self, name), getattr(self, name) in known, _one_of(known))
        for name, (low, high, kind) in _RANGES.items():
            value = getattr(self, name)
            if name == "lr" and value is None:
                continue
            words = f"in {low:g} … {high:g}" if math.isfinite(high) else f"{low:g} or more"
            words = f"{'a whole number' if kind is int else 'a number'} {words}"
            _check(name, value, _is_number(value, kind) and low <= value <= high, words)
        for name in ("dropout", "stochastic_depth", "beta1", "beta2"):
            _check(name, getattr(self, name), getattr(self, name) < 1, "below 1")
        _check("temperature", self.temperature, self.temperature > 0, "above 0")
        terms = isinstance(self.terms, tuple) and self.terms and set(self.terms) <= set(TERMS)
        terms = terms and len(set(self.terms)) == len(self.terms)
        _check("terms", self.terms, bool(terms), f"some of {', '.join(TERMS)}, each once")
        sides = isinstance(self.scale, tuple) and len(self.scale) == 2
        sides = sides and all(_is_number(side, int) and side > 0 for side in self.scale)
        _check("scale", self.scale, sides, "two numbers of pixels, e.g. (853, 480)")

    def hyperparameters(self) -> Hyperparameters:
        """The numbers that a compiled adaptation takes as arguments."""
        values = {name: getattr(self, name) for name in Hyperparameters._fields}
        return Hyperparameters(**{**values, "lr": _LR if self.lr is None else self.lr})

    def compiled(self, input_size: tuple[int, int]) -> AdaptationSettings:
        """The settings that choose what an adaptation at (Hi, Wi) = `input_size` compiles to."""
        shared = [name for name in AdaptationSettings._fields if name != "input_size"]
        return AdaptationSettings(input_size, **{name: getattr(self, name) for name in shared})


_CHOICES = {
    "train": tuple(GROUPS),
    "loss_on": _LOSS_ON,
    "attention": ATTENTIONS,
    "compute": COMPUTE,
    "matmul": MATMUL,
    "protocol": PROTOCOLS,
}

# Least and highest value, and type.
_RANGES: dict[str, tuple[float, float, type]] = {
    "iters": (1, math.inf, int),
    "lr": (0, math.inf, float),
    "beta1": (0, 1, float),
    "beta2": (0, 1, float),
    "eps": (0, math.inf, float),
    "weight_decay": (0, math.inf, float),
    "momentum": (0, 1, float),
    "dropout": (0, 1, float),
    "least_frames": (0, math.inf, int),
    "area_power": (0, math.inf, float),
    "frequency_power": (0, math.inf, float),
    "temperature": (0, math.inf, float),
    "stochastic_depth": (0, 1, float),
    "threshold": (0, 1, float),
    "divisor": (1, math.inf, int),
    "seed": (0, 2**32 - 1, int),
}


def _is_number(value: Any, kind: type) -> bool:
    """Whether a value is a finite number; whole numbers serve as real ones, booleans never."""
    kinds = int if kind is int else (int, float)
    return isinstance(value, kinds) and not isinstance(value, bool) and math.isfinite(value)


def _one_of(known: tuple[str, ...]) -> str:
    return f"one of {', '.join(known)}"


def _check(name: str, value: Any, holds: bool, words: str) -> None:
    if not holds:
        raise UserError(f"{name} must be {words}, not {value!r}")

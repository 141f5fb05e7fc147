"""Results of both programs in both precisions, and the errors between them."""

import functools
from collections.abc import Callable, Sequence

import numpy as np

from tests.parity import stages_ours, stages_twin
from tests.parity.scene import Scene

Results = dict[str, np.ndarray]

# Parameters that the loss does not depend on: a BatchNorm takes away what the linear layers'
# biases add, and softmax what the key's last bias adds to all scores of a query. Their gradient
# is rounding noise, which AdamW blows up to steps of full size.
NO_GRADIENT = (
    "decode_head.linear_c1.proj.bias",
    "decode_head.linear_c2.proj.bias",
    "decode_head.linear_c3.proj.bias",
    "decode_head.linear_c4.proj.bias",
    "decode_head.key_layer.2.bias",
)


class Comparison:
    """Lazily computed results of a few scenes; each is computed once."""

    def __init__(self, scenes: Sequence[Scene]):
        """Scenes of one shape, so that programs are compiled once."""
        self.scenes = scenes
        self._results = functools.cache(self._compute)

    def _compute(self, stage: str, program: str, dtype: str, index: int) -> Results:
        module = stages_ours if program == "ours" else stages_twin
        compute: Callable[..., Results] = getattr(module, stage.removesuffix(" at t = 0"))
        if stage.endswith("at t = 0"):
            return compute(self.scenes[index], dtype, first_frame=True)
        return compute(self.scenes[index], dtype)

    def results(self, stage: str, program: str, dtype: str, index: int = 0) -> Results:
        """Results of `stage` ("forward", "step", "step at t = 0") by name."""
        return self._results(stage, program, dtype, index)

    def single_precision_errors(self, stage: str) -> dict[str, tuple[float, float]]:
        """Per quantity, the float32 error of ours and of the twin against the twin's float64.

        Errors are relative root mean squares, over all scenes together. Gradients and updated
        weights count as one quantity each, without the parameters that have no gradient.
        """
        sums: dict[str, np.ndarray] = {}
        for index in range(len(self.scenes)):
            exact = self.results(stage, "twin", "float64", index)
            for name, value in exact.items():
                if name.split("/")[-1] in NO_GRADIENT or value.dtype.kind in "iu":
                    continue
                group = name.split("/")[0] if stage.startswith("step") else name
                term = [
                    square_error(self.results(stage, program, "float32", index)[name], value)
                    for program in ("ours", "twin")
                ]
                total = sums.setdefault(group, np.zeros(2))
                total += np.array(term) / max(square_error(value, 0.0), np.finfo(float).tiny)
        return {name: tuple(np.sqrt(total)) for name, total in sums.items()}


def square_error(value: np.ndarray, exact: np.ndarray | float) -> float:
    """Sum of squared differences in double precision, NaN on both sides counting zero."""
    difference = np.asarray(value, np.float64) - np.asarray(exact, np.float64)
    return float(np.nansum(difference**2))


def relative_error(value: np.ndarray, exact: np.ndarray) -> float:
    """Largest difference over the largest magnitude of the exact array; NaNs must coincide."""
    value, exact = (np.asarray(x, np.float64) for x in (value, exact))
    if value.shape != exact.shape or not np.array_equal(np.isnan(value), np.isnan(exact)):
        return np.inf
    if np.isnan(exact).all():
        return 0.0
    scale = np.nanmax(np.abs(exact))
    difference = np.nanmax(np.abs(value - exact))
    return float(difference / scale) if scale > 0 else float(difference)

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

        Errors are relative root mean squares over all scenes. Losses and gradients of all
        parameters count as one quantity each, every loss and parameter relative to itself; the
        weights after the step count as one vector.
        """
        squares: dict[str, list[np.ndarray]] = {}
        for index in range(len(self.scenes)):
            exact = self.results(stage, "twin", "float64", index)
            found = [self.results(stage, who, "float32", index) for who in ("ours", "twin")]
            for quantity, members in _quantities(exact).items():
                errors = [[square_error(f[m], exact[m]) for m in members] for f in found]
                sizes = [square_error(exact[m], 0.0) for m in members]
                if quantity in ("live", "momentum"):
                    relative = np.sum(errors, 1) / np.sum(sizes)
                else:
                    relative = np.mean(np.array(errors) / sizes, 1)
                squares.setdefault(quantity, []).append(relative)
        means = {name: np.sqrt(np.mean(rows, 0)) for name, rows in squares.items()}
        return {name: (float(ours), float(twin)) for name, (ours, twin) in means.items()}


def _quantities(results: Results) -> dict[str, list[str]]:
    """Results by quantity, without labels and parameters that have no gradient."""
    quantities: dict[str, list[str]] = {}
    for name, value in results.items():
        if name.split("/")[-1] not in NO_GRADIENT and value.dtype.kind == "f":
            quantities.setdefault(name.split("/")[0], []).append(name)
    return quantities


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

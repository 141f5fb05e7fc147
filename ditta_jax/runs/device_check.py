"""Does a device compute what it should? Stages A, C, D of a small student of known numbers.

Compilers of accelerators have been found to compute wrongly without a word. So a device computes a
small case: its losses, gradients and labels are compared with numbers that are stored beside this
file, and with those of the CPU of the same machine where that is wanted.
"""

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from ditta_jax.algorithm import adaptation, inference, precision
from ditta_jax.algorithm.adaptation import AdaptationSettings, TaughtFrames
from ditta_jax.algorithm.model import Model
from ditta_jax.algorithm.optimiser import Hyperparameters
from ditta_jax.methods import ditta, frozen, stream
from ditta_jax.methods.protocol import Fixed, Frame
from ditta_jax.students.families import named
from ditta_jax.students.parts import split_student
from ditta_jax.students.student import abstract_student, fill

NUMBERS = Path(__file__).with_name("device_check.json")
PARTS = ("stage A", "stage C", "stage D")
STUDENT = named("segformer").config(
    5, (8, 16, 24, 32), (1, 1, 1, 1), (1, 2, 2, 4), (8, 4, 2, 1), 2, embed_dim=32, radius=5
)
SIZE, INPUT, FRAMES, OBJECTS = (60, 90), (64, 96), 2, 3


class Tolerance(NamedTuple):
    """How far numbers may be off, relative to the largest of their array.

    Attributes:
        losses: of losses and reliabilities.
        gradients: of gradients, which sum many roundings.
        labels: share of labels that may differ, where two classes are equal but for rounding.
    """

    losses: float
    gradients: float
    labels: float


# Full float32 differs by the order of sums only. bfloat16, and float32 products on the fast paths
# of accelerators, round factors to 8 to 11 bits: 2⁻⁸ is 0.004.
FULL = Tolerance(1e-4, 2e-3, 0.005)
FAST = Tolerance(5e-2, 3e-1, 0.05)
NO_GRADIENT = 1e-5  # of the largest: a bias before a BatchNorm has none but for rounding


def tolerance(compute: str, matmul: str) -> Tolerance:
    """What a precision policy may be off."""
    return FULL if compute != "bfloat16" and matmul == "highest" else FAST


# ---------------------------------------------------------------------------- the small case


def compute_parts(
    device: jax.Device, parts: Sequence[str] = PARTS, compute: str = "float32"
) -> dict[str, dict[str, np.ndarray]]:
    """The parts' results on a device, by part and name.

    The precision of products is that of the caller's `jax.default_matmul_precision`.
    """
    model = _model(compute)
    frames, labels, ids = _frames()
    with jax.default_device(device):
        results: dict[str, dict[str, np.ndarray]] = {}
        images = jnp.asarray(frames, compute)
        features = inference.encode(model.graph, model.encoder, model.network, images)
        if "stage A" in parts:
            plain = inference.label_plain(
                model.graph, model.encoder, model.network, features, SIZE, INPUT
            )
            results["stage A"] = {"labels": plain.label, "reliability": plain.reliability}
        if "stage C" in parts:
            there = jnp.ones(FRAMES, bool)
            warm_up = TaughtFrames(features, jnp.asarray(labels), jnp.asarray(ids), there)
            results["stage C"] = _adaptation(model, warm_up)
        if "stage D" in parts:
            results["stage D"] = _segmentation(model, features, images)
    return {
        part: {name: np.asarray(value) for name, value in own.items()}
        for part, own in results.items()
    }


def _adaptation(model: Model, warm_up: TaughtFrames) -> dict[str, Any]:
    """Losses of a step per frame, and the mean of their gradients that AdamW keeps."""
    state, losses = adaptation.adapt(
        adaptation.new_state(model.network, OBJECTS, jax.random.key(0)),
        model.graph,
        model.encoder,
        warm_up,
        Hyperparameters(),
        AdaptationSettings(INPUT, dropout=0.0),
        1,
    )
    results = {f"loss {name}": value for name, value in losses.columns().items()}
    for _, moments in optax.tree_utils.tree_get_all_with_path(state.optimiser, "mu"):
        for path, value in jax.tree_util.tree_leaves_with_path(moments):
            name = jax.tree_util.keystr(path, simple=True, separator=".")
            results[f"gradient {name}"] = value
    return results


def _segmentation(model: Model, features: Any, frames: jax.Array) -> dict[str, Any]:
    """Labels of the fused and of the plain branch."""
    first = jax.tree.map(lambda x: x[0], features)
    carry = inference.previous_frame(model.graph, model.encoder, model.network, first, True)
    seen = Frame(features, frames)
    fixed = Fixed(SIZE, INPUT, threshold=0.8, online=False)
    state = jax.tree.map(jnp.copy, ditta.State(model.network, carry))  # it is donated
    _, fused = stream.label_frames(ditta.METHOD, model, state, seen, fixed)
    _, plain = stream.label_frames(frozen.METHOD, model, (), seen, fixed)
    return {"labels fused": fused, "labels plain": plain}


@functools.lru_cache(maxsize=2)
def _model(compute: str) -> Model:
    """A student of numbers that depend on nothing but NumPy's generator."""
    random = np.random.default_rng(13)
    student = abstract_student(STUDENT)
    weights = nnx.to_pure_dict(nnx.state(student))
    paths = jax.tree_util.tree_leaves_with_path(weights)
    drawn = [_drawn(jax.tree_util.keystr(path), x.shape, random) for path, x in paths]
    filled = fill(student, jax.tree.unflatten(jax.tree.structure(weights), drawn))
    network, graph, encoder = split_student(filled)
    host = jax.tree.map(np.asarray, (network, precision.cast(encoder, compute)))
    return Model(graph, host[1], host[0], compute, STUDENT.num_classes)


def _drawn(path: str, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    """A weight by the last word of its path; classifier and queries spread, so that all counts."""
    noise = random.standard_normal(shape)
    if "kernel" in path:
        spread = 6.0 if "classifier" in path else 1.5 if "fusion" in path else 1.0
        noise *= spread / np.sqrt(np.prod(shape[:-1]))
    elif "scale" in path or "var" in path:
        noise = 1 + 0.2 * np.abs(noise)
    else:
        noise *= 0.1
    return noise.astype(np.float32)


def _frames() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frames of blocks, labels with some ignored, ids of objects that are there or not."""
    random = np.random.default_rng(14)
    rows, columns = (n // 16 for n in INPUT)
    coarse = random.standard_normal((FRAMES, rows, columns, 3))
    frames = coarse.repeat(16, 1).repeat(16, 2) + 0.3 * random.standard_normal((FRAMES, *INPUT, 3))
    grid = (FRAMES, -(-SIZE[0] // 8), -(-SIZE[1] // 8))

    def patches(values: int) -> np.ndarray:
        drawn = random.integers(0, values, grid).astype(np.uint8)
        return drawn.repeat(8, 1).repeat(8, 2)[:, : SIZE[0], : SIZE[1]].copy()

    labels, ids = patches(STUDENT.num_classes), patches(OBJECTS + 1)
    labels[:, :4] = 255
    return frames.astype(np.float32), labels, ids


# ---------------------------------------------------------------------------- comparisons


def differences(
    found: dict[str, np.ndarray], expected: dict[str, np.ndarray], allowed: Tolerance
) -> list[str]:
    """What is off between two devices' results of a part, in words; nothing if all is well."""
    faults = []
    largest = _largest(expected)
    for name, right in expected.items():
        ours = found[name]
        if name.startswith("labels"):
            share = float((ours != right).mean())
            if share > allowed.labels:
                faults.append(f"{name} differ on {100 * share:.1f} % of the pixels")
        else:
            faults += _apart(name, ours, right, allowed, largest)
    return faults


def summary(results: dict[str, np.ndarray]) -> dict[str, list[float]]:
    """What is stored of a part: losses, sizes of gradients, frequencies of labels."""
    stored = {}
    for name, value in results.items():
        wide = np.asarray(value, np.float64)
        if name.startswith("labels"):
            counts = np.bincount(value.ravel(), minlength=STUDENT.num_classes)
            stored[name] = (counts / value.size).tolist()
        elif name.startswith("gradient"):
            stored[name] = [float(np.sqrt((wide**2).sum()))]
        elif name == "reliability":
            stored[name] = wide.mean((1, 2)).tolist()
        else:
            stored[name] = np.where(np.isnan(wide), -1.0, wide).tolist()
    return stored


def faults(part: str, results: dict[str, np.ndarray], allowed: Tolerance) -> list[str]:
    """What is off against the stored numbers."""
    expected = json.loads(NUMBERS.read_text())[part]
    found = summary(results)
    if set(found) != set(expected):
        return [f"other results than the stored ones: {sorted(set(found) ^ set(expected))[:3]}"]
    off = []
    for name, right in expected.items():
        off += _apart(name, np.array(found[name]), np.array(right), allowed, _largest(expected))
    return off


def _largest(expected: dict[str, Any]) -> float:
    """The largest gradient: what the rounding of those is compared with that are 0 but for it."""
    sizes = [np.abs(x).max() for name, x in expected.items() if name.startswith("gradient")]
    return float(max(sizes, default=0.0))


def _apart(
    name: str, ours: np.ndarray, right: np.ndarray, allowed: Tolerance, largest: float
) -> list[str]:
    if not np.array_equal(np.isnan(ours), np.isnan(right)):
        return [f"{name}: {ours.ravel()[0]} where {right.ravel()[0]} is right"]
    ours, right = (np.nan_to_num(np.asarray(x, np.float64)) for x in (ours, right))
    limit, scale = allowed.losses, float(np.abs(right).max())
    if name.startswith("gradient"):
        limit, scale = allowed.gradients, scale if scale > NO_GRADIENT * largest else largest
    elif name.startswith("labels"):
        limit = allowed.labels
    error = float(np.abs(ours - right).max()) / max(scale, 1e-12)
    if error <= limit:
        return []
    return [f"{name} is off by {error:.1e} of its size, more than {limit:.0e}"]

"""The golden clip through the code path of the command line: stages A, C and D."""

from typing import NamedTuple

import numpy as np

from ditta_jax.algorithm import precision, targets
from ditta_jax.algorithm.model import take_apart
from ditta_jax.configuration import default_config
from ditta_jax.data.video import EncodedFrames
from ditta_jax.methods import ditta, registry
from ditta_jax.metrics.scores import VideoScores
from ditta_jax.runs import stages
from ditta_jax.runs.segmentation import Clocks, Rest, segment_rest
from ditta_jax.runs.settings import settings_of
from ditta_jax.students.layouts import weight_layout
from ditta_jax.students.layouts.released_layout import RELEASED
from ditta_jax.students.segformer.config import SegFormerConfig
from tests.parity import stages_ours
from tests.parity.golden import Golden

COLUMNS = ("distill", "distill_fused", "contrast", "total")


class GoldenRun(NamedTuple):
    """What came out.

    Attributes:
        labels: of the frozen student on the warm-up frames, `[T_w, H, W]`.
        reliability: the same shape.
        losses: `[steps, 4]`, NaN where a step has no such term.
        adapted: `decode_head` weights by released key.
        predictions: of the frames after the warm-up, `[T − T_w, H, W]`.
        baseline: the same by the frozen student.
        scores: metrics of the predictions.
        baseline_scores: metrics of the baseline.
    """

    labels: np.ndarray
    reliability: np.ndarray
    losses: np.ndarray
    adapted: dict[str, np.ndarray]
    predictions: np.ndarray
    baseline: np.ndarray
    scores: dict[str, float]
    baseline_scores: dict[str, float]


def run_golden(golden: Golden, dtype: str) -> GoldenRun:
    """Adapt to the golden clip with the golden targets, dropout and stochastic depth off."""
    settings = settings_of(_config(golden, dtype))
    count = len(golden.frames)
    encoded = [golden.arrays[f"frame/{t:05d}"].tobytes() for t in range(count)]
    frames = EncodedFrames(encoded, [f"{t:05d}" for t in range(count)], golden.size, "golden")
    with precision.policy(settings.compute, settings.matmul):
        sizes = SegFormerConfig(**golden.architecture)
        student = weight_layout.load(RELEASED, sizes, golden.weights("init"), "golden").student
        model = take_apart(student, dtype)
        frozen = stages.label_warm_up(model, frames, settings, stop=golden.warmup)
        taught = _targets(golden, frozen.labels)
        network, rows = ditta.adapt_to(model, frozen, taught, settings)
        methods = [registry.named("frozen"), ditta.METHOD]
        prepared = {"frozen": methods[0].prepare(model, frozen, settings)}
        prepared["ditta"] = ditta.METHOD.prepared(model, frozen, taught, (network, rows))
        assert prepared["ditta"].kept_frozen is None
        rest = Rest(prepared, frames, golden.warmup, Clocks(methods))
        out = segment_rest(model, methods, rest, golden.size, settings)
        frames_out = list(out)
        adapted = stages_ours.released(model.graph, model.encoder, network)
    predictions = np.stack([frame.labels["ditta"] for frame in frames_out])
    baseline = np.stack([frame.labels["frozen"] for frame in frames_out])
    return GoldenRun(
        labels=frozen.labels,
        reliability=frozen.reliability,
        losses=np.array([[row[name] for name in COLUMNS] for row in rows]),
        adapted=adapted,
        predictions=predictions,
        baseline=baseline,
        scores=_scores(golden, predictions),
        baseline_scores=_scores(golden, baseline),
    )


def _config(golden: Golden, dtype: str):
    meta = golden.meta
    config = default_config()
    config.warmup.percent = 100 * (golden.warmup + 0.5) / len(golden.frames)
    config.input.scale = tuple(meta["img_scale"])
    config.input.divisor = meta["size_divisor"]
    config.tta.iters, config.tta.lr = meta["iters"], meta["lr"]
    config.tta.momentum, config.tta.weight_decay = meta["momentum"], meta["weight_decay"]
    config.tta.dropout = 0.0
    config.loss.temperature = meta["temperature"]
    config.fusion.threshold = meta["tau"]
    config.precision.compute = dtype
    return config


def _targets(golden: Golden, labels: np.ndarray) -> list[targets.FrameTarget | None]:
    """Targets from id maps and scores: the documented way in for masks from elsewhere."""
    score = golden.arrays["target_score"][1:]
    taught: list[targets.FrameTarget | None] = []
    for t, label in enumerate(labels):
        ids = golden.object_ids.get(t)
        if ids is None:
            taught.append(None)
        else:
            map_ = targets.labels_from_ids(ids, score, label)
            taught.append(targets.FrameTarget(map_, ids))
    return taught


def _scores(golden: Golden, predictions: np.ndarray) -> dict[str, float]:
    scores = VideoScores(golden.meta["num_classes"], tuple(golden.meta["vc_windows"]))
    for prediction, label in zip(predictions, golden.ground_truth[golden.warmup :], strict=True):
        scores.update(prediction, label)
    return scores.finish().result()

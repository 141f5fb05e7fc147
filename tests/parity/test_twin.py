"""The twin, which is the benchmark's direct rival too, is held to the authors' numbers first."""

import numpy as np
import pytest
import torch

from ditta_jax.benchmark.torch_rivals import direct_losses, direct_step
from ditta_jax.benchmark.torch_rivals.direct_decoder import Student
from tests.parity.golden import Golden


def student_of(golden: Golden, dtype: torch.dtype, prefix: str = "init") -> Student:
    """The golden run's student in `dtype`."""
    student = Student(**golden.architecture)
    state = {k: torch.from_numpy(v) for k, v in golden.weights(prefix).items()}
    state["decode_head.linear_fuse.bn.num_batches_tracked"] = torch.tensor(0)
    student.load_state_dict(state)
    return student.to(dtype).eval()


class Run:
    """One whole golden run of the twin: stage A, C and D."""

    def __init__(self, golden: Golden, dtype: torch.dtype):
        meta = golden.meta
        self.student = student_of(golden, dtype)
        inputs = [torch.from_numpy(x).to(dtype) for x in golden.inputs]
        plain = [
            direct_step.predict_plain(self.student, x, golden.size) for x in inputs[: golden.warmup]
        ]
        self.labels = torch.stack([p.argmax(0) for p in plain])
        self.reliability = torch.stack([direct_losses.reliability(p) for p in plain])
        ids = {t: torch.from_numpy(m.astype(np.int64)) for t, m in golden.object_ids.items()}
        score = torch.from_numpy(golden.arrays["target_score"])
        targets = direct_step.targets_from_objects(self.labels, ids, score)
        settings = direct_step.Settings(learning_rate=meta["lr"])
        self.adaptation = direct_step.Adaptation(self.student, settings)
        rows = self.adaptation.run(inputs[: golden.warmup], targets, meta["iters"])
        self.losses = np.array([row.row() for row in rows])
        self.adapted = {k: v.numpy() for k, v in self.adaptation.live.state_dict().items()}
        labels = direct_step.predict_fused(self.adaptation.live, inputs, golden.size, golden.warmup)
        self.predictions = torch.stack(list(labels)).numpy()


@pytest.fixture(scope="module")
def reference(golden) -> Golden:
    """The golden file, read."""
    return Golden(golden)


@pytest.fixture(scope="module")
def double(reference) -> Run:
    """The golden run in double precision."""
    return Run(reference, torch.float64)


def test_network_input_is_the_authors_to_the_bit(reference):
    np.testing.assert_array_equal(reference.inputs[1], reference.arrays["clip_input_frame1"])


def test_stage_a(reference, double):
    np.testing.assert_array_equal(double.labels.numpy(), reference.arrays["iss_pred_f64"])
    np.testing.assert_allclose(
        double.reliability.numpy(), reference.arrays["iss_reliability"], rtol=0, atol=5e-6
    )


def test_losses_in_double_precision(reference, double):
    np.testing.assert_allclose(double.losses, reference.arrays["losses_f64"], rtol=1e-9)


def test_frozen_predictions_in_double_precision(reference, double):
    same = double.predictions == reference.arrays["eval_pred_f64"]
    assert same.mean() >= 0.9999


def test_adapted_weights_in_double_precision(reference, double):
    """Every one, to the rounding of the file's float32."""
    for key, value in reference.weights("adapted_f64").items():
        np.testing.assert_allclose(double.adapted[key], value, rtol=1e-6, atol=1e-7, err_msg=key)


def test_single_precision_stays_near_double(reference):
    single = Run(reference, torch.float32)
    np.testing.assert_allclose(single.losses, reference.arrays["losses_f64"], rtol=1e-5)
    same = single.predictions == reference.arrays["eval_pred_f64"]
    assert same.mean() >= 0.997

"""The golden run through stages A, C and D as the command line runs them."""

import json

import numpy as np
import pytest

from tests.parity.golden import Golden
from tests.parity.golden_run import GoldenRun, run_golden

pytestmark = pytest.mark.optimised


@pytest.fixture(scope="module")
def reference(golden) -> Golden:
    """The golden file, read."""
    return Golden(golden)


@pytest.fixture(scope="module")
def double(reference) -> GoldenRun:
    """Our run in double precision."""
    return run_golden(reference, "float64")


@pytest.fixture(scope="module")
def single(reference) -> GoldenRun:
    """Our run in single precision at the highest precision of matrix products."""
    return run_golden(reference, "float32")


def share_equal(a: np.ndarray, b: np.ndarray) -> float:
    """Share of pixels on which two label maps agree."""
    return float((a == b).mean())


def test_frozen_student(reference, double, single):
    np.testing.assert_array_equal(double.labels, reference.arrays["iss_pred_f64"])
    for run in (double, single):
        np.testing.assert_allclose(
            run.reliability, reference.arrays["iss_reliability"], rtol=0, atol=5e-6
        )
        assert share_equal(run.baseline, reference.arrays["baseline_pred"]) >= 0.9999
    assert share_equal(single.labels, reference.arrays["iss_pred"]) >= 0.9999


def test_double_precision(reference, double):
    exact = reference.arrays["losses_f64"]
    np.testing.assert_allclose(double.losses, exact, rtol=1e-9)
    assert share_equal(double.predictions, reference.arrays["eval_pred_f64"]) >= 0.9999
    expected = json.loads(str(reference.arrays["result_f64"]))
    assert double.scores == pytest.approx(expected, rel=1e-9)


def test_single_precision(reference, single):
    exact = reference.arrays["losses_f64"]
    np.testing.assert_allclose(single.losses, exact, rtol=1e-5)
    assert share_equal(single.predictions, reference.arrays["eval_pred_f64"]) >= 0.997
    expected = json.loads(str(reference.arrays["result_f64"]))
    assert single.scores == pytest.approx(expected, rel=1e-3)


def test_adapted_weights(reference, double):
    """Every one, to the rounding of the file's float32."""
    for key, value in reference.weights("adapted_f64").items():
        np.testing.assert_allclose(double.adapted[key], value, rtol=1e-6, atol=1e-7, err_msg=key)

"""The command says what is off, where it ran, and ends with a status that scripts can use."""

import sys

import jax
import numpy as np
import pytest

from ditta_jax import check
from ditta_jax.runs import device_check, devices

PARTS = {"stage A": {"labels": np.zeros((2, 3, 4), np.uint8)}}


@pytest.fixture
def answers(monkeypatch):
    """What the device and the CPU compute, in turn; numbers that are stored are right."""
    given = []
    monkeypatch.setattr(sys, "argv", ["check"])
    monkeypatch.setattr(devices, "trust_products", lambda: None)
    monkeypatch.setattr(device_check, "faults", lambda *_: [])
    monkeypatch.setattr(device_check, "compute_parts", lambda *_, **__: given.pop(0))
    return given


def test_a_right_device(answers, capsys):
    answers += [PARTS, PARTS, PARTS]
    assert check.main() == 0
    out = capsys.readouterr().out
    assert "This device computes what it should." in out and "OFF" not in out
    assert jax.__version__ in out and "XLA_FLAGS" in out and "cpu: cpu" in out


def test_a_device_that_differs_from_the_cpu(answers, capsys):
    answers += [PARTS, PARTS, {"stage A": {"labels": np.ones((2, 3, 4), np.uint8)}}]
    assert check.main() == 1
    out = capsys.readouterr().out
    assert "OFF  stage A, this machine's CPU: labels differ on 100.0 % of the pixels" in out
    assert "WRONGLY" in out


def test_a_device_that_does_not_repeat_itself(answers, capsys):
    other = {"stage A": {"labels": np.eye(4, dtype=np.uint8)[None, :3].repeat(2, 0)}}
    answers += [PARTS, other, PARTS]
    assert check.main() == 1
    assert "OFF  stage A, computed again: labels differ" in capsys.readouterr().out

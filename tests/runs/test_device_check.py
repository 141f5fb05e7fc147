"""A device that computes wrongly is found by stored numbers and by the CPU's."""

import json

import jax
import numpy as np
import pytest

from ditta_jax.errors import UserError
from ditta_jax.runs import device_check, devices


@pytest.fixture(scope="module")
def computed():
    with jax.default_matmul_precision("highest"):
        return device_check.compute_parts(jax.devices()[0])


def test_this_cpu_computes_the_stored_numbers(computed):
    assert list(computed) == list(device_check.PARTS)
    for part, results in computed.items():
        assert device_check.faults(part, results, device_check.FULL) == []
        assert device_check.differences(results, results, device_check.FULL) == []


@pytest.mark.parametrize(
    ("part", "name", "change"),
    [
        ("stage A", "reliability", lambda x: x * 1.01),
        ("stage A", "labels", lambda x: np.where(np.arange(x.shape[-1]) < 3, 0, x)),
        ("stage C", "loss contrast", lambda x: x * 1.001),
        ("stage C", "loss total", lambda x: np.full_like(x, np.nan)),
        ("stage C", "gradient decoder.fuse.kernel", lambda x: x * 1.01),
        ("stage C", "gradient decoder.linear_1.bias", lambda x: x + 1e-3),
        ("stage D", "labels fused", lambda x: np.where(x == 1, 2, x)),
    ],
)
def test_a_wrong_number_is_named(computed, part, name, change):
    wrong = computed[part] | {name: change(computed[part][name]).astype(computed[part][name].dtype)}
    for found in (
        device_check.faults(part, wrong, device_check.FULL),
        device_check.differences(wrong, computed[part], device_check.FULL),
    ):
        assert len(found) == 1 and found[0].startswith(name)


def test_what_is_known_covers_losses_gradients_and_labels():
    known = json.loads(device_check.NUMBERS.read_text())
    assert set(known) == set(device_check.PARTS)
    gradients = [name for name in known["stage C"] if name.startswith("gradient")]
    assert len(gradients) > 20 and sum(known["stage C"][name][0] > 1e-4 for name in gradients) > 20
    for part, name in (("stage A", "labels"), ("stage D", "labels fused")):
        assert sum(share > 1e-3 for share in known[part][name]) >= 4


def test_precision_decides_what_is_tolerated():
    assert device_check.tolerance("float32", "highest") == device_check.FULL
    assert device_check.tolerance("bfloat16", "highest") == device_check.FAST
    assert device_check.tolerance("float32", "default") == device_check.FAST


class Chip:
    """A device that is no CPU, as far as its name goes."""

    platform, device_kind = "gpu", "H9000"
    client = type("Client", (), {"platform_version": "cuda 1"})


@pytest.fixture
def chip(monkeypatch, tmp_path, computed):
    asked = []

    def compute_parts(device, parts, compute):
        asked.append(parts)
        return {part: computed[part] | chip.wrong for part in parts}

    chip = type("Asked", (), {"wrong": {}, "asked": asked})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(jax, "local_devices", lambda: [Chip])
    monkeypatch.setattr(device_check, "compute_parts", compute_parts)
    return chip


def test_a_device_is_checked_once_per_machine_and_version(chip, monkeypatch):
    devices.refuse_wrong_device()
    devices.refuse_wrong_device()
    assert chip.asked == [("stage C",)]
    devices.refuse_wrong_device("bfloat16", "default")
    monkeypatch.setattr(jax, "__version__", "9.9.9")
    devices.refuse_wrong_device()
    monkeypatch.setenv("XLA_FLAGS", "--xla_other=1")
    devices.refuse_wrong_device()
    assert len(chip.asked) == 4


def test_a_device_that_computes_wrongly_is_refused_each_time(chip, computed):
    chip.wrong = {"loss contrast": computed["stage C"]["loss contrast"] * 1.5}
    for _ in range(2):
        with pytest.raises(UserError, match=r"H9000 computes wrongly with jax .*loss contrast is"):
            devices.refuse_wrong_device()
    assert len(chip.asked) == 2
    chip.wrong = {}
    devices.refuse_wrong_device()


def test_a_damaged_note_is_no_verdict(chip, tmp_path):
    devices.refuse_wrong_device()
    (note,) = (tmp_path / "ditta_jax" / "device_check").glob("*.json")
    note.write_bytes(note.read_bytes()[:-3])
    devices.refuse_wrong_device()
    assert len(chip.asked) == 2


def test_a_cpu_pays_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(device_check, "compute_parts", lambda *a: pytest.fail("computed"))
    devices.refuse_wrong_device()
    assert not list(tmp_path.iterdir())

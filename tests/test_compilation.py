"""The flags of XLA that tests are compiled with."""

from tests.compilation import DEVICE_COUNT, FAST, flags


def test_only_the_tests_own_flags_come_and_go(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", f"--xla_a=1 {DEVICE_COUNT}=1 {' '.join(FAST)}")
    assert flags(8, optimised=True) == f"--xla_a=1 {DEVICE_COUNT}=8"
    assert flags(2, optimised=False).split() == ["--xla_a=1", f"{DEVICE_COUNT}=2", *FAST]

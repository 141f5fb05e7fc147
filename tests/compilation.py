"""How the tests have their programs compiled: in a quarter of the time, or as users have them.

Most of the suite's time is compilation. So XLA leaves out what makes programs fast and keeps what
makes them right: no optimisation of machine code, and the older way to write fused loops. Tests of
what depends on rounding are marked `optimised` and run without these flags, in `test_apart.py`.
"""

import os

FAST = (
    "--xla_backend_optimization_level=0",
    "--xla_llvm_disable_expensive_passes=true",
    "--xla_cpu_use_fusion_emitters=false",
)
DEVICE_COUNT = "--xla_force_host_platform_device_count"
# Everything as users have it, for the whole suite.
OPTIMISED = os.environ.get("DITTA_TEST_OPTIMISED", "0") != "0"


def flags(devices: int, optimised: bool) -> str:
    """`XLA_FLAGS` for a process with so many devices of the CPU; a user's own flags stay."""
    before = os.environ.get("XLA_FLAGS", "").split()
    kept = [flag for flag in before if flag not in FAST and not flag.startswith(DEVICE_COUNT)]
    return " ".join([*kept, f"{DEVICE_COUNT}={devices}", *(() if optimised else FAST)])

"""Accelerators that programs are compiled for, none of which has to be here.

XLA's compilers for TPUs come with `libtpu`, those for GPUs with JAX's CUDA plugin. Both take the
description of a device instead of the device.
"""

import importlib.util
from collections.abc import Sequence
from typing import Any, NamedTuple

from ditta_jax.errors import UserError


class Chip(NamedTuple):
    """One kind of accelerator.

    Attributes:
        title: what people call it.
        platform: "tpu" or "gpu".
        description: for a TPU the smallest topology that has it; for a GPU what XLA's compiler
            asks of the device.
        hertz: clock that turns a TPU compiler's cycles into seconds; 0 for GPUs, whose compiler
            tells no cycles.
        host: of a TPU, the kind of machine that has it.
    """

    title: str
    platform: str
    description: str
    hertz: float
    host: str = ""


def _gpu(name: str, major: int, **numbers: float) -> str:
    """XLA's `GpuTargetConfig` of an NVIDIA GPU, as text."""
    shared = {
        "threads_per_block_limit": 1024,
        "threads_per_warp": 32,
        "shared_memory_per_block": 49152,
        "threads_per_core_limit": 2048,
        "block_dim_limit_x": 2147483647,
        "block_dim_limit_y": 65535,
        "block_dim_limit_z": 65535,
        "registers_per_core_limit": 65536,
        "registers_per_block_limit": 65536,
    }
    lines = [f"{key}: {value}" for key, value in (shared | numbers).items()]
    device = " ".join([*lines, f"cuda_compute_capability {{ major: {major} }}"])
    return (
        f'gpu_device_info {{ {device} }} platform_name: "CUDA" '
        f'dnn_version_info {{ major: 9 minor: 8 }} device_description_str: "{name}"'
    )


# GPUs by hand from NVIDIA's public figures. Clocks of the TPUs from their public peaks: 197 and
# 918 TFLOP/s in bfloat16 are 4 · 128² and 4 · 256² multiplications and additions a cycle at these
# (the compiler's own estimate of a product of 8192² matrices is 88 % and 70 % of that).
CHIPS = {
    "v5e": Chip("TPU v5e", "tpu", "v5e:2x2", 1.5e9, "v5litepod-4"),
    "v6e": Chip("TPU v6e", "tpu", "v6e:2x2", 1.75e9, "v6e-4"),
    "a100": Chip(
        "A100",
        "gpu",
        _gpu(
            "NVIDIA A100-SXM4-80GB",
            8,
            shared_memory_per_core=167936,
            shared_memory_per_block_optin=166912,
            core_count=108,
            fpus_per_core=64,
            memory_bandwidth=2039000000000,
            l2_cache_size=41943040,
            clock_rate_ghz=1.41,
            device_memory_size=85198045184,
        ),
        0.0,
    ),
    "h100": Chip(
        "H100",
        "gpu",
        _gpu(
            "NVIDIA H100 80GB HBM3",
            9,
            shared_memory_per_core=233472,
            shared_memory_per_block_optin=232448,
            core_count=132,
            fpus_per_core=128,
            memory_bandwidth=3352320000000,
            l2_cache_size=52428800,
            clock_rate_ghz=1.98,
            device_memory_size=84978434048,
        ),
        0.0,
    ),
}

_PACKAGES = {"tpu": ("libtpu",), "gpu": ("jax_plugins.xla_cuda12", "jax_plugins.xla_cuda13")}


def chosen(names: Sequence[str]) -> dict[str, Chip]:
    """The chips of these names.

    Raises:
        UserError: there is no such chip, or its compiler is not installed.
    """
    for name in names:
        if name not in CHIPS:
            raise UserError(f"--compile-for: there is no {name!r}; these are: {', '.join(CHIPS)}")
        if not has_compiler(name):
            wanted = " or ".join(_PACKAGES[CHIPS[name].platform])
            raise UserError(
                f"--compile-for: the compiler for the {CHIPS[name].title} ({wanted}) is not "
                "installed; pip install 'ditta-jax[compile]'"
            )
    return {name: CHIPS[name] for name in names}


def has_compiler(name: str) -> bool:
    """Whether the compiler for a chip is installed."""
    return any(_installed(package) for package in _PACKAGES[CHIPS[name].platform])


def _installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # not even what it lies in
        return False


def environment(chip: Chip) -> dict[str, str]:
    """Variables of a process that compiles for a chip; they count when JAX is imported."""
    variables = {"JAX_PLATFORMS": "cpu"}
    if chip.platform == "tpu":
        # no question to a cloud's server which machine this is: it is none
        variables |= {"TPU_SKIP_MDS_QUERY": "1", "TPU_WORKER_HOSTNAMES": "localhost"}
        # nor a lock, as on the one process that opens a machine's chips: none is opened
        variables |= {"TPU_ACCELERATOR_TYPE": chip.host, "ALLOW_MULTIPLE_LIBTPU_LOAD": "1"}
    return variables


def device(chip: Chip) -> Any:
    """A device of this kind that can be compiled for, and nothing else."""
    from jax.experimental import topologies

    if chip.platform == "tpu":
        found = topologies.get_topology_desc(platform="tpu", topology_name=chip.description)
        return found.devices[0]
    # With JAX_PLATFORMS=cpu JAX leaves plugins alone, and no public function asks it for them.
    from jax._src import xla_bridge

    xla_bridge.discover_pjrt_plugins()
    found = topologies.get_topology_desc(
        topology_name=chip.title,
        platform="cuda",
        target_config=chip.description,
        topology="1x1x1",
    )
    return found.devices[0]

"""Settings of the section `parallel`: how many at once, where, and in how much memory."""

from __future__ import annotations

from ditta_jax.configuration.setting import Schema, Setting
from ditta_jax.ranges import Range, between, one_of, text


def _address(example: str) -> Range:
    """Host and port, `auto`, or nothing."""
    like = text(f"auto, an address such as {example}, or empty", r"(auto|\S+:\d{1,5})?")

    def fault(value: str) -> str:
        port = value.rpartition(":")[2]
        missing = port.isdecimal() and not 1 <= int(port) <= 65535
        return like.fault(value) or ("there is no such port" if missing else "")

    return Range(like.words, fault)


PARALLEL: Schema = {
    "videos": Setting(1, between(1, 1024), "adapted side by side; their features are held at once"),
    "keep_gb": Setting(
        4.0,
        between(0.0, 1e6),
        "gigabytes of stage A's results kept in memory while the teacher works; the rest on disk",
    ),
    "memory_gb": Setting(
        0.0,
        between(0.0, 1e6),
        "gigabytes of each device that may be used (on a CPU: of the machine); where videos do "
        "not fit, fewer are side by side; 0: what it says it has",
    ),
    "coordinator": Setting(
        "",
        _address("10.0.0.1:8476"),
        "of the run's processes on many hosts: the address of process 0, or auto where the "
        "environment tells (TPU pods, Slurm, …); empty: one process",
    ),
    "processes": Setting(
        1, between(1, 10**5), "of the run; auto finds it, and the next one, by itself"
    ),
    "process": Setting(0, between(0, 10**5), "number of this one, from 0"),
    "ahead": Setting(
        2,
        between(0, 1024),
        "videos that the teacher works on while the student adapts to the one before; at least "
        "one for each of its workers; 0: one after the other",
    ),
    "executor": Setting(
        "local",
        one_of("local", "ray"),
        "local: all in this process; ray: whole videos spread over the actors of a Ray cluster "
        "(--executor ray), whose machines see the same files",
    ),
    "ray_address": Setting(
        "",
        _address("10.0.0.1:6379"),
        "of the cluster; empty: what RAY_ADDRESS says, one that runs here, or else a new one",
    ),
    "workers": Setting(
        0,
        between(0, 10**5),
        "actors on it; 0: one for each GPU, or for each machine where there are none",
    ),
    "memory_fraction": Setting(
        0.0,
        between(0.0, 1.0, below=True),
        "of a GPU's memory that the student takes, the rest is the teacher's; 0: as JAX does",
    ),
}

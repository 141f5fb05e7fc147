"""How every rival is measured: the same protocol for all, free of any framework.

A rival is a process: `python -m MODULE WORKLOAD RESULT '{"rival": …}'`. It first takes the steps
whose losses are compared, then repeats one full step, then frames, always warm and with results
ready; it writes one `Measurement` as JSON.
"""

import dataclasses
import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

MATMUL_SIDE = 2048
PASSES = 2  # over the two frames of the clip, for the comparison of losses


@dataclasses.dataclass(frozen=True)
class Task:
    """What a rival is asked for.

    Attributes:
        rival: its name.
        steps: full steps timed one by one, after those whose losses are compared.
        frames: frames of each kind timed, after one that is not; 0 leaves inference out.
        threads: of the CPU.
        device: "cpu" or "gpu".
        compute: dtype of activations, "float32" or "bfloat16" (JAX only).
        tf32: whether a GPU may round factors of float32 products to ten bits of mantissa.
    """

    rival: str
    steps: int = 5
    frames: int = 5
    threads: int = 2
    device: str = "cpu"
    compute: str = "float32"
    tf32: bool = False


@dataclasses.dataclass
class Measurement:
    """What a rival reports; times in seconds, one entry per repetition.

    Attributes:
        rival: its name.
        framework: name and version.
        device: as the framework names it.
        losses: per step distill, fused, contrast; None where a step has no such term.
        step: one full step (t ≥ 1), encoder features given where the rival caches them. A compiled
            rival takes several in a call, as adaptation does; an entry is then their mean.
        whole_pass: one step on every frame of the clip, by the compiled scan (JAX only).
        encode: one frame through the encoder, where features are cached; else empty.
        plain_frame, fused_frame: inference, encoder included; means likewise.
        first_step: the first full step, compilation included.
        peak_bytes: of the process after the steps (host), or of the accelerator.
        matmul_flops: measured peak of float32 products, operations per second.
        step_flops: matrix products and convolutions of a full step, where it can be counted.
    """

    rival: str
    framework: str
    device: str
    losses: list[list[float | None]] = dataclasses.field(default_factory=list)
    step: list[float] = dataclasses.field(default_factory=list)
    whole_pass: list[float] = dataclasses.field(default_factory=list)
    encode: list[float] = dataclasses.field(default_factory=list)
    plain_frame: list[float] = dataclasses.field(default_factory=list)
    fused_frame: list[float] = dataclasses.field(default_factory=list)
    first_step: float = 0.0
    peak_bytes: int = 0
    matmul_flops: float = 0.0
    step_flops: float | None = None


def repeat(
    action: Callable[[], object],
    ready: Callable[[object], None],
    times: int,
    warm: bool = False,
    per_call: int = 1,
) -> list[float]:
    """Seconds of each of `times` calls; `ready` waits for a result.

    Unless it is `warm` already, one more call before them is not timed. A call that does `per_call`
    things counts as one of them.
    """
    if not warm:
        ready(action())
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        ready(action())
        seconds.append((time.perf_counter() - started) / per_call)
    return seconds


def matmul_flops(product: Callable[[], object], ready: Callable[[object], None]) -> float:
    """Operations per second of the best of five products of float32 `MATMUL_SIDE`² matrices."""
    return 2 * MATMUL_SIDE**3 / min(repeat(product, ready, 5))


def peak_resident_bytes() -> int:
    """The most memory this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def arguments() -> tuple[Path, Path, Task]:
    """Workload folder, result file and task of a rival's command line."""
    workload, result, task = sys.argv[1:4]
    return Path(workload), Path(result), Task(**json.loads(task))


def write(path: Path, measurement: Measurement) -> None:
    """Write what the coordinator reads."""
    path.write_text(json.dumps(dataclasses.asdict(measurement)))


def rows(losses: Sequence[Sequence[float]]) -> list[list[float | None]]:
    """Losses with None for what a step does not have."""
    return [[None if x != x else float(x) for x in row] for row in losses]

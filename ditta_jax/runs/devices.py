"""JAX as a run needs it: compilers that can be trusted, programs that are kept and told of."""

import hashlib
import json
import os
import platform
import sys
import threading
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

from ditta_jax.errors import UserError
from ditta_jax.files import seal, unseal, write_atomically

# XLA's Triton products on GPUs, up to and with jax 0.11: they do not compile where the analysis of
# their tiles fails ("Couldn't find output tile sizes": our decoder, our resizing; jax issue 34010),
# and around concatenations they may compute wrongly without a word (jax issues 39486, 40588).
# cuBLAS does these products as well. jax 0.12 compiles them all.
NO_TRITON_PRODUCTS = "--xla_gpu_enable_triton_gemm=false"
TRITON_IS_MENDED = (0, 12)


def prepare(compute: str, matmul: str, memory_fraction: float = 0.0) -> None:
    """Set up JAX for a run in a precision; must come before anything is computed.

    Programs that take their time to compile or load are told of on stderr.

    Args:
        compute: dtype of activations.
        matmul: precision of products.
        memory_fraction: of a GPU's memory that JAX takes (`share_memory`).

    Raises:
        UserError: the device computes wrongly (`refuse_wrong_device`).
    """
    trust_products()
    share_memory(memory_fraction)
    keep_compiled_programs()
    tell_compilations(lambda line: print(line, file=sys.stderr, flush=True))
    refuse_wrong_device(compute, matmul)


def trust_products() -> None:
    """Leave XLA's Triton products out, unless the environment says something about them."""
    version = tuple(int(n) for n in jax.__version__.split(".")[:2])
    flags = os.environ.get("XLA_FLAGS", "")
    if version < TRITON_IS_MENDED and "xla_gpu_enable_triton_gemm" not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {NO_TRITON_PRODUCTS}".strip()


def share_memory(fraction: float) -> None:
    """Leave the rest of a GPU's memory to the teacher, unless the environment says how much.

    Args:
        fraction: that JAX takes when it first uses the GPU; 0: its own choice, three quarters.
    """
    if fraction > 0:
        os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", f"{fraction:g}")


def leave_accelerators() -> None:
    """Compute on the CPU: the accelerators are for other processes that this one starts."""
    jax.config.update("jax_platforms", "cpu")


def keep_compiled_programs() -> None:
    """Turn on JAX's persistent compilation cache, unless the environment names one."""
    if not jax.config.jax_compilation_cache_dir:  # type: ignore[attr-defined]
        jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "jax"))


def cache_folder() -> Path:
    """Where the user keeps what can be made again."""
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "ditta_jax"


# ---------------------------------------------------------------------------- compilations

_COMPILED = "/jax/core/compile/backend_compile_duration"  # events of jax.monitoring
_FROM_CACHE = "/jax/compilation_cache/cache_hits"


class Compilations:
    """Says one line for each program that JAX compiles or loads.

    Args:
        say: takes a line.
        least_seconds: programs that are ready sooner are passed over.
    """

    def __init__(self, say: Callable[[str], None], least_seconds: float = 1.0):
        self._say = say
        self._least = least_seconds
        self._own = threading.local()  # programs may be compiled by several threads at once

    def on_event(self, event: str, **_: Any) -> None:
        """Note that the program being compiled was found in the cache."""
        if event == _FROM_CACHE:
            self._own.found = True

    def on_duration(self, event: str, duration_secs: float, **details: Any) -> None:
        """Say what is ready now."""
        if event != _COMPILED:
            return
        found = getattr(self._own, "found", False)
        self._own.found = False
        if duration_secs >= self._least:
            did, where = ("loaded", " from the cache") if found else ("compiled", "")
            program = str(details.get("fun_name", "a program"))
            name = program.removeprefix("jit(").removesuffix(")")
            self._say(f"{did} {name} in {duration_secs:.1f} s{where}")


def tell_compilations(say: Callable[[str], None]) -> None:
    """Say a line for each program from now on; only once in a process."""
    if not _telling:
        compilations = Compilations(say)
        jax.monitoring.register_event_listener(compilations.on_event)
        jax.monitoring.register_event_duration_secs_listener(compilations.on_duration)
        _telling.append(compilations)


_telling: list[Compilations] = []


# ---------------------------------------------------------------------------- a wrong device


def refuse_wrong_device(compute: str = "float32", matmul: str = "highest") -> None:
    """Check once per machine and version that the device computes what it should (`device_check`).

    The step of stage C only, where most can go wrong, against stored numbers. A CPU is what the
    numbers are from and is not checked. That all is well is remembered in the cache folder; a
    device that computes wrongly is asked again each time.

    Args:
        compute: dtype of activations, in which the run will compute.
        matmul: precision of products, likewise.

    Raises:
        UserError: the device computes wrongly.
    """
    device = jax.local_devices()[0]
    if device.platform == "cpu":
        return
    known = identity(device) | {"compute": compute, "matmul": matmul}
    key = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:32]
    note = cache_folder() / "device_check" / f"{key}.json"
    if _is_noted(note, known):
        return
    from ditta_jax.runs import device_check

    compute = "float32" if compute == "float64" else compute  # numbers are stored in float32
    with jax.default_matmul_precision(matmul):
        results = device_check.compute_parts(device, ("stage C",), compute)["stage C"]
    off = device_check.faults("stage C", results, device_check.tolerance(compute, matmul))
    if off:
        raise UserError(
            f"{device.device_kind} computes wrongly with jax {jax.__version__}: {off[0]}; "
            "python -m ditta_jax.check shows all of it; try another jax, or JAX_PLATFORMS=cpu"
        )
    write_atomically(note, seal(known))


def identity(device: jax.Device) -> dict[str, str]:
    """What a device's results may depend on: machine, chip, versions, flags."""
    return {
        "machine": platform.node(),
        "device": f"{device.platform}: {device.device_kind}",
        "driver": " ".join(device.client.platform_version.split()),
        "jax": jax.__version__,
        "jaxlib": package_version("jaxlib"),
        "ditta_jax": package_version("ditta-jax"),
        "XLA_FLAGS": os.environ.get("XLA_FLAGS", ""),
        "LIBTPU_INIT_ARGS": os.environ.get("LIBTPU_INIT_ARGS", ""),
    }


def package_version(package: str) -> str:
    """A package's version; "not installed" for a checkout that is only on the path."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _is_noted(note: Path, known: dict[str, str]) -> bool:
    try:
        return unseal(note.read_bytes()) == known
    except (OSError, ValueError):
        return False

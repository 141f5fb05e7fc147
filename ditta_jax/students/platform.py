"""Which kind of device a program is traced for: a few sizes and loops depend on it."""

import contextlib
import contextvars
from collections.abc import Iterator

import jax

_compiling_for: contextvars.ContextVar[str | None] = contextvars.ContextVar(
    "platform", default=None
)


def platform() -> str:
    """JAX's default backend (cpu, gpu, tpu), unless the program is for another machine."""
    return _compiling_for.get() or jax.default_backend()


@contextlib.contextmanager
def compiling_for(name: str) -> Iterator[None]:
    """Trace the body's programs as they would be on a platform that need not be here.

    JAX keeps what it has traced: only for a process that traces for one platform.
    """
    token = _compiling_for.set(name)
    try:
        yield
    finally:
        _compiling_for.reset(token)

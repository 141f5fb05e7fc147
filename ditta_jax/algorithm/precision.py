"""Where precision is decided: the dtype of activations, and of matrix products.

Weights, optimiser state, statistics, softmax and losses are float32 (or float64) always.
"""

import contextlib
from collections.abc import Iterator

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from ditta_jax.errors import UserError

COMPUTE = ("float32", "bfloat16", "float64")
MATMUL = ("default", "high", "highest")


@contextlib.contextmanager
def policy(compute: str = "float32", matmul: str = "highest") -> Iterator[None]:
    """Run the body under a precision.

    Args:
        compute: dtype of activations, one of `COMPUTE`.
        matmul: precision of float32 products on accelerators whose fast path has fewer bits
            ("highest" for parity; CPUs always compute in full).

    Raises:
        UserError: an unknown value.
    """
    for key, value, known in (("compute", compute, COMPUTE), ("matmul", matmul, MATMUL)):
        if value not in known:
            raise UserError(f"precision.{key} must be one of {', '.join(known)}, not {value!r}")
    with (
        jax.enable_x64(True) if compute == "float64" else contextlib.nullcontext(),
        jax.default_matmul_precision(matmul),
    ):
        yield


def cast(tree: PyTree, dtype: str) -> PyTree:
    """Floating-point leaves in another dtype; the others as they are."""
    return jax.tree.map(
        lambda x: x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x, tree
    )

"""Where precision is decided: the dtype of activations, and of matrix products.

Weights, optimiser state, statistics, softmax and losses are float32 (or float64) always.
"""

import contextlib
from collections.abc import Iterator

import jax
import jax.numpy as jnp
from jaxtyping import PyTree
from ml_collections import ConfigDict

from ditta_jax.errors import UserError

COMPUTE = ("float32", "bfloat16", "float64")
MATMUL = ("default", "high", "highest")


@contextlib.contextmanager
def policy(config: ConfigDict) -> Iterator[None]:
    """Run the body under `config.precision`.

    `compute`: dtype of activations. `matmul`: precision of float32 products on accelerators whose
    fast path has fewer bits ("highest" for parity; CPUs always compute in full).

    Raises:
        UserError: an unknown value.
    """
    for key, known in (("compute", COMPUTE), ("matmul", MATMUL)):
        if config.precision[key] not in known:
            raise UserError(
                f"precision.{key} must be one of {', '.join(known)}, not {config.precision[key]!r}"
            )
    wide = config.precision.compute == "float64"
    with (
        jax.enable_x64(True) if wide else contextlib.nullcontext(),
        jax.default_matmul_precision(config.precision.matmul),
    ):
        yield


def cast(tree: PyTree, dtype: str) -> PyTree:
    """Floating-point leaves in another dtype; the others as they are."""
    return jax.tree.map(
        lambda x: x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x, tree
    )

"""No compiled program scatters: in no certain order on GPUs, slow on TPUs."""

import jax
import jax.numpy as jnp
import pytest

from ditta_jax.benchmark import estimate, programs
from ditta_jax.benchmark.workload import Size
from ditta_jax.students.segformer.config import SegFormerConfig

STUDENT = SegFormerConfig(3, (3, 4, 4, 5), (1, 1, 1, 1), (1, 1, 1, 1), (8, 4, 2, 1), 1, embed_dim=6)
SMALL = Size("tiny", 35, 51, 3, 4, 3)


def test_a_scatter_would_be_found():
    def loss(x, i):
        return (x[i] ** 2).sum()

    lowered = jax.jit(jax.grad(loss)).lower(jnp.ones((4, 3)), jnp.arange(2))
    assert "stablehlo.scatter" in lowered.as_text()
    assert estimate.scatters(lowered.compile().as_text()) > 0


@pytest.mark.parametrize("name", programs.PROGRAMS)
def test_nothing_scatters_in(name):
    lowered = programs.lowered(name, programs.shapes(SMALL, "float32", STUDENT))
    assert "stablehlo.scatter" not in lowered.as_text()
    assert estimate.scatters(lowered.compile().as_text()) == 0

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ditta_jax.algorithm import split_products
from ditta_jax.algorithm.split_products import products_of_parts
from ditta_jax.students.resize_matrices import chain

n, c, W = 12, 3, 20
ROUNDING = 2.0**-24  # of float32


@pytest.fixture(params=[(n, 4 * n), (n, 4 * n, 53)], ids=["one part", "three parts"])
def operands(request):
    random = np.random.default_rng(0)
    source = random.normal(size=(W, c, n)).astype(np.float32)
    return chain(*request.param), source * 10 ** random.uniform(-4, 4, n).astype(np.float32)


def test_the_parts_products_round_no_more_than_float32_does(operands):
    matrix, source = operands
    found = np.asarray(jax.jit(lambda x: sum(products_of_parts(x, matrix)))(source), np.float64)
    exact = np.einsum("Hh,Wch->WcH", matrix, source.astype(float))
    size = np.einsum("Hh,Wch->WcH", matrix, abs(source).astype(float))
    # sums over 12 columns with two weights each, and the parts left out
    assert (abs(found - exact) <= 4 * ROUNDING * size).all()
    plain = np.einsum(
        "Hh,Wch->WcH", *(x.astype(jnp.bfloat16).astype(float) for x in (matrix, source))
    )
    assert (abs(plain - exact) > 100 * ROUNDING * size).any()  # what the parts are for


def test_the_parts_add_up(operands):
    _, source = operands
    parts = split_products._parts(jnp.asarray(source))
    np.testing.assert_array_equal(sum(np.asarray(p, np.float64) for p in parts), source)


def test_there_are_only_the_passes_that_are_needed(operands):
    matrix, source = operands
    program = jax.make_jaxpr(lambda x: products_of_parts(x, matrix))(source)
    products = [op for op in program.jaxpr.eqns if op.primitive.name == "dot_general"]
    assert len(products) == (3 if len(matrix) == 4 * n else 6)
    assert {v.aval.dtype for op in products for v in op.invars} == {np.dtype(jnp.bfloat16)}

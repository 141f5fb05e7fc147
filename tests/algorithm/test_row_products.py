import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ditta_jax.algorithm import row_products
from ditta_jax.algorithm.row_products import upsampled
from ditta_jax.students.platform import compiling_for
from ditta_jax.students.resize_matrices import chain

n, c, W = 12, 3, 20
ROUNDING = 2.0**-24  # of float32


@pytest.fixture(params=[(n, 4 * n), (n, 4 * n, 53)], ids=["one part", "three parts"])
def operands(request):
    random = np.random.default_rng(0)
    matrix = chain(*request.param).astype(np.float32)
    source = random.normal(size=(n, c, W)).astype(np.float32)
    return matrix, source * 10 ** random.uniform(-4, 4, (n, 1, 1)).astype(np.float32)


def on_a_tpu(matrix, source):
    with compiling_for("tpu"):
        return upsampled(jnp.asarray(matrix), source, matrix)


def test_one_pass_rounds_no_more_than_float32_does(operands):
    matrix, source = operands
    found = np.asarray(jax.jit(lambda x: on_a_tpu(matrix, x))(source), np.float64)
    exact = np.einsum("Rn,ncW->RcW", matrix.astype(float), source.astype(float))
    size = np.einsum("Rn,ncW->RcW", abs(matrix).astype(float), abs(source).astype(float))
    # sums over 12 columns with two weights each, and the parts left out
    assert (abs(found - exact) <= 4 * ROUNDING * size).all()
    plain = np.einsum(
        "Rn,ncW->RcW",
        *(x.astype(jnp.bfloat16).astype(float) for x in (matrix, source)),
    )
    assert (abs(plain - exact) > 100 * ROUNDING * size).any()  # what the parts are for


def test_the_parts_add_up_and_the_gradient_is_the_matrix(operands):
    matrix, source = operands
    parts = row_products._parts(jnp.asarray(source))
    np.testing.assert_array_equal(sum(np.asarray(p, np.float64) for p in parts), source)
    probe = np.random.default_rng(1).normal(size=(len(matrix), c, W)).astype(np.float32)
    gradient = jax.grad(lambda x: (on_a_tpu(matrix, x) * probe).sum())(source)
    expected = np.einsum("Rn,RcW->ncW", matrix, probe)
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-5)


def test_one_pass_has_only_the_columns_it_needs(operands):
    matrix, source = operands
    text = str(jax.make_jaxpr(lambda x: on_a_tpu(matrix, x))(source))
    parts = 3 if len(matrix) == 4 * n else 6
    assert f"bf16[{parts},{n},{c},{W}]" in text and "HIGHEST" not in text


def test_other_devices_and_dtypes_take_the_product_as_it_is(operands):
    matrix, source = operands
    text = str(jax.make_jaxpr(lambda x: upsampled(jnp.asarray(matrix), x, matrix))(source))
    assert "bf16" not in text and "HIGHEST" in text
    with jax.enable_x64(True):
        text = str(jax.make_jaxpr(lambda x: on_a_tpu(matrix.astype(float), x))(np.float64(source)))
    assert "bf16" not in text

import jax
import jax.numpy as jnp
import pytest

from ditta_jax.algorithm import precision
from ditta_jax.errors import UserError


def test_double_precision_lasts_as_long_as_the_policy():
    with precision.policy(compute="float64"):
        assert jnp.zeros(1, "float64").dtype == jnp.float64
    assert not jax.config.jax_enable_x64
    with precision.policy(compute="bfloat16", matmul="default"):
        assert not jax.config.jax_enable_x64


def test_matrix_products_have_the_precision_asked_for():
    for name in precision.MATMUL:
        with precision.policy(matmul=name):
            text = str(jax.make_jaxpr(jnp.dot)(jnp.ones((2, 2)), jnp.ones((2, 2))))
            assert ("HIGHEST" in text) == (name == "highest")


@pytest.mark.parametrize(("key", "value"), [("compute", "float16"), ("matmul", "best")])
def test_unknown_values_are_refused(key, value):
    with (
        pytest.raises(UserError, match=f"precision.{key} must be one of .*not '{value}'"),
        precision.policy(**{key: value}),
    ):
        pass


def test_cast_changes_floating_point_leaves_only():
    tree = {"a": jnp.ones(2), "b": jnp.ones(2, jnp.int32), "c": jnp.ones(2, bool)}
    dtypes = {name: str(x.dtype) for name, x in precision.cast(tree, "bfloat16").items()}
    assert dtypes == {"a": "bfloat16", "b": "int32", "c": "bool"}

"""How JAX is set up for a run, and what is told of compilations."""

import jax
import jax.numpy as jnp
import pytest

from ditta_jax.runs import devices


@pytest.mark.parametrize(
    ("version", "before", "after"),
    [
        ("0.10.2", "", "--xla_gpu_enable_triton_gemm=false"),
        ("0.11.0", "--xla_a=1", "--xla_a=1 --xla_gpu_enable_triton_gemm=false"),
        ("0.10.2", "--xla_gpu_enable_triton_gemm=true", "--xla_gpu_enable_triton_gemm=true"),
        ("0.12.0.1", "--xla_a=1", "--xla_a=1"),
    ],
)
def test_products_that_cannot_be_trusted_are_left_out(monkeypatch, version, before, after):
    monkeypatch.setattr(jax, "__version__", version)
    monkeypatch.setenv("XLA_FLAGS", before)
    devices.trust_products()
    assert devices.os.environ["XLA_FLAGS"] == after


def test_each_program_is_told_of_with_its_time_and_where_it_came_from(monkeypatch):
    said = []
    told = devices.Compilations(said.append)
    told.on_duration(devices._COMPILED, 2.5, fun_name="jit(adapt)")
    told.on_event(devices._FROM_CACHE)
    told.on_duration(devices._COMPILED, 1.25, fun_name="segment")
    told.on_duration(devices._COMPILED, 0.5, fun_name="copy")
    told.on_duration("/jax/core/compile/jaxpr_trace_duration", 9.0, fun_name="adapt")
    assert said == ["compiled adapt in 2.5 s", "loaded segment in 1.2 s from the cache"]


def test_jax_tells_of_what_it_compiles(monkeypatch):
    said = []
    monkeypatch.setattr(devices, "_telling", [])
    devices.tell_compilations(said.append)
    devices._telling[0]._least = 0.0
    jax.jit(lambda x: (x * 3).sum() + 17)(jnp.ones(5)).block_until_ready()
    jax.monitoring.clear_event_listeners()
    assert any("<lambda>" in line and " in 0." in line for line in said), said

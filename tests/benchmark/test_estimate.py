"""Cycles are read off a compiled program's text: loops turn, branches exclude each other."""

import jax
import jax.numpy as jnp
import pytest

from ditta_jax.benchmark import estimate

TEXT = """HloModule jit_f, is_scheduled=true

%fused (p: f32[4]) -> f32[4] {
  %p = f32[4]{0} parameter(0)
  ROOT %inner = f32[4]{0} add(%p, %p)
}

%condition (state: (s32[], f32[4])) -> pred[] {
  %limit = s32[]{:T(128)} constant(7)
  %state = (s32[]{:T(128)}, f32[4]{0}) parameter(0)
  %i = s32[]{:T(128)} get-tuple-element(%state), index=0
  ROOT %less = pred[]{:T(512)} compare(%i, %limit), direction=LT
}

%body (state: (s32[], f32[4])) -> (s32[], f32[4]) {
  %state = (s32[]{:T(128)}, f32[4]{0}) parameter(0)
  %i = s32[]{:T(128)} get-tuple-element(%state), index=0
  %x = f32[4]{0} get-tuple-element(%state), index=1
  %f = f32[4]{0} fusion(%x), kind=kLoop, calls=%fused, metadata={op_name="jit(f)/while/body/transpose(jvp(decoder))/dot"}, backend_config={"estimated_cycles":"100"}
  ROOT %out = (s32[]{:T(128)}, f32[4]{0}) tuple(%i, %f)
}

%cheap (p: f32[4]) -> f32[4] {
  %p = f32[4]{0} parameter(0)
  ROOT %c = f32[4]{0} copy(%p), backend_config={"estimated_cycles":"5"}
}

%dear (p: f32[4]) -> f32[4] {
  %p = f32[4]{0} parameter(0)
  ROOT %c = f32[4]{0} copy(%p), metadata={op_name="jit(f)/decoder/fusion/copy"}, backend_config={"estimated_cycles":"50"}
}

ENTRY %main (a: f32[4], b: s32[]) -> f32[4] {
  %zero = s32[]{:T(128)} constant(START)
  %first = s32[]{:T(128)} copy(%zero)
  %a = f32[4]{0} parameter(0)
  %b = s32[] parameter(1)
  %start = (s32[]{:T(128)}, f32[4]{0}) tuple(%first, %a)
  %loop = (s32[]{:T(128)}, f32[4]{0}) while(%start), condition=%condition, body=%body
  %y = f32[4]{0} get-tuple-element(%loop), index=1
  ROOT %z = f32[4]{0} conditional(%b, %y, %y), branch_computations={%cheap, %dear}
}
"""  # noqa: E501


@pytest.mark.parametrize(("start", "turns"), [("0", 7), ("5", 2)])
def test_a_loops_body_counts_as_often_as_it_turns_and_the_dearer_branch_once(start, turns):
    found = estimate.estimate(estimate.read(TEXT.replace("START", start)), ("decoder", "fusion"))
    assert found.cycles == {"decoder": 100 * turns, "fusion": 50}
    assert found.total == 100 * turns + 50 and found.unknown_loops == 0


def test_a_loop_of_unknown_length_is_counted_once_and_reported():
    text = TEXT.replace("START", "0").replace("constant(7)", "parameter(1)")
    found = estimate.estimate(estimate.read(text))
    assert found.cycles == {estimate.OTHER: 150} and found.unknown_loops == 1


def test_operations_of_a_program_compiled_here_are_found_in_loops_and_fusions():
    def f(x, i):
        return jax.lax.map(lambda row: jnp.zeros(3).at[i].add(row.sum()), x)

    text = jax.jit(f).lower(jnp.ones((4, 3)), jnp.arange(2)).compile().as_text()
    found = estimate.read(text).operations()
    assert found["scatter"] + found["while"] >= 1 and found["parameter"] > 2

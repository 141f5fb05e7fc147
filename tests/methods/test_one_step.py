"""The walk over warm-up frames that methods without a teacher share."""

import jax
import jax.numpy as jnp
import pytest

from ditta_jax.methods import one_step


@pytest.fixture
def compiled():
    """Names of the programs that are compiled."""
    names: list[str] = []

    def note(event, seconds, **told):
        if event == "/jax/core/compile/backend_compile_duration":
            names.append(told["fun_name"])

    jax.monitoring.register_event_duration_secs_listener(note)
    yield names
    jax.monitoring.unregister_event_duration_listener(note)


def test_a_step_is_compiled_once(compiled):
    """Though weights come from a file, bound to a device, and moments do not."""

    @jax.jit
    def added_up(state, frame):
        weights, count = state
        return (weights + frame, count + 1), frame.sum()

    weights = jax.device_put(jnp.zeros(2), jax.devices()[0])
    count = jnp.zeros((), jnp.int32)
    assert weights.committed and not count.committed
    frames = list(jnp.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]))
    (weights, count), rows = one_step.walk((weights, count), added_up, frames)
    assert (weights == 6).all() and count == 3
    assert [row["total"] for row in rows] == [2.0, 4.0, 6.0]
    assert sum("added_up" in name for name in compiled) == 1, compiled

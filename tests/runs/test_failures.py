import jax
import pytest

from ditta_jax.errors import UserError
from ditta_jax.runs import memory
from ditta_jax.runs.failures import Failures

WORDS = "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 412316860416 bytes."


@pytest.mark.robustness(
    "Frames and videos",
    "a video that the memory, or the device's, does not suffice for",
    "recorded as failed with what was asked for; the others are done",
)
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (jax.errors.JaxRuntimeError(WORDS), "(Out of memory while trying to allocate 412316"),
        (MemoryError("Unable to allocate 384. GiB for an array"), "(Unable to allocate 384. GiB"),
        (MemoryError(), "(no more is told)"),
    ],
)
def test_too_little_memory_is_of_a_video(said, error, words):
    failures = Failures()
    with failures.of("street"):
        raise error
    assert (
        said(failures["street"]).startswith("not enough memory (") and words in failures["street"]
    )
    assert "use a smaller input.scale" in failures["street"]


def test_other_faults_stay_what_they_are():
    with pytest.raises(jax.errors.JaxRuntimeError), Failures().of("street"):
        raise jax.errors.JaxRuntimeError("INTERNAL: a fault")
    with pytest.raises(UserError, match="else"), memory.told_if_short():
        raise UserError("something else")

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from ditta_jax.errors import UserError
from ditta_jax.methods import registry
from ditta_jax.runs.trained import trained_of
from ditta_jax.students import checkpoint
from ditta_jax.students.segformer.config import SegFormerConfig
from ditta_jax.students.student import new_student

SIZES = SegFormerConfig(
    2, (4, 4, 8, 8), (1, 1, 1, 1), (1, 1, 1, 1), (8, 4, 2, 1), 1, embed_dim=8, radius=1
)
CARD = checkpoint.StudentCard(SIZES, ("a", "b"), ((0, 0, 0), (9, 9, 9)), {"from": "test"})
TRAINED = CARD._replace(source={"fusion": "trained"})
METHODS = {"supervised": registry.named("supervised")}


@pytest.fixture(scope="module")
def student():
    return new_student(SIZES)


def named(path=""):
    return SimpleNamespace(checkpoint="own", supervised=str(path))


def test_nothing_is_loaded_where_no_method_needs_it(student):
    methods = {"frozen": registry.named("frozen")}
    assert trained_of(named("nowhere"), student, CARD, methods, "float32") is None


def test_the_runs_own_student_serves_where_its_fusion_was_trained(student):
    found = trained_of(named(), student, TRAINED, METHODS, "float32")
    assert found.network.params.keys() == {"encoder", "decoder", "fusion"}
    assert found.fingerprint == checkpoint.fingerprint(student)
    with pytest.raises(UserError, match="own has a temporal fusion that was never trained; train"):
        trained_of(named(), student, CARD, METHODS, "float32")


def test_another_student_must_fit_the_runs(student, tmp_path):
    other = new_student(SIZES, seed=3)
    checkpoint.save(tmp_path / "other", other, TRAINED)
    found = trained_of(named(tmp_path / "other"), student, CARD, METHODS, "float32")
    kernel = found.network.params["decoder"]["classifier"]["kernel"]
    np.testing.assert_array_equal(kernel, other.decoder.classifier.kernel[...])
    wider = CARD._replace(config=dataclasses.replace(SIZES, radius=2))
    with pytest.raises(UserError, match="has other sizes or classes than student.checkpoint"):
        trained_of(named(tmp_path / "other"), student, wider, METHODS, "float32")

import json
import shutil

import numpy as np
import pytest
from flax import nnx

from ditta_jax.errors import UserError
from ditta_jax.students import checkpoint
from ditta_jax.students.checkpoint import StudentCard
from ditta_jax.students.segformer.config import SegFormerConfig
from ditta_jax.students.student import new_student

CONFIG = SegFormerConfig(
    2, (3, 4, 4, 5), (1, 1, 1, 1), (1, 1, 1, 1), (8, 4, 2, 1), 1, embed_dim=6, radius=2,
    block_norm_eps=1e-5,
)  # fmt: skip
CARD = StudentCard(CONFIG, ("road", "ciel é"), ((1, 2, 3), (4, 5, 6)), {"steps": 7})


@pytest.fixture(scope="module")
def student():
    return new_student(CONFIG, seed=3)


@pytest.fixture(scope="module")
def saved(student, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "student"
    checkpoint.save(path, student, CARD)
    return path


@pytest.fixture
def copy(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "copy")


def refused(path):
    with pytest.raises(UserError) as caught:
        checkpoint.load(path)
    message = str(caught.value)
    assert len(message.splitlines()) == 1 and str(path) in message
    return message


def test_a_round_trip_is_exact(student, saved):
    loaded, card = checkpoint.load(saved)
    assert card == CARD and loaded.config == CONFIG
    expected = nnx.to_flat_state(nnx.state(student))
    found = dict(nnx.to_flat_state(nnx.state(loaded)))
    assert len(found) == len(expected)
    for path, value in expected:
        assert found[path].get_value().dtype == np.float32
        np.testing.assert_array_equal(found[path].get_value(), value.get_value())
    assert checkpoint.fingerprint(loaded) == checkpoint.fingerprint(student)
    assert checkpoint.fingerprint(new_student(CONFIG, seed=4)) != checkpoint.fingerprint(student)


def test_saving_again_replaces_the_old_one_and_leaves_nothing_else(copy):
    other = new_student(CONFIG, seed=4)
    checkpoint.save(copy, other, CARD._replace(source={"steps": 8}))
    loaded, card = checkpoint.load(copy)
    assert card.source == {"steps": 8}
    assert checkpoint.fingerprint(loaded) == checkpoint.fingerprint(other)
    assert [p.name for p in copy.parent.iterdir()] == ["copy"]


def test_a_failed_save_leaves_the_old_one_whole(copy, student, monkeypatch):
    def broken(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(checkpoint.json, "dumps", broken)
    with pytest.raises(OSError, match="disk full"):
        checkpoint.save(copy, new_student(CONFIG, seed=4), CARD)
    monkeypatch.undo()
    loaded, card = checkpoint.load(copy)
    assert card == CARD and checkpoint.fingerprint(loaded) == checkpoint.fingerprint(student)


def test_a_missing_folder_names_the_ways_to_get_one(tmp_path):
    message = refused(tmp_path / "none")
    assert "no such checkpoint folder" in message and "ditta_jax.convert" in message


def test_a_foreign_folder_is_named(tmp_path):
    assert "not a checkpoint of this program" in refused(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        '{"format": "ditta_jax stu',
        "[]",
        "{}",
        '{"format": "another 1"}',
        '{"format": "ditta_jax student 1"}',
    ],
)
def test_a_broken_or_foreign_card_is_named(copy, text):
    (copy / "student.json").write_text(text)
    assert "not a checkpoint of this program" in refused(copy)


def test_an_unknown_or_missing_size_in_the_card_is_refused(copy):
    file = copy / "student.json"
    card = json.loads(file.read_text())
    for config in ({**card["config"], "wings": 2}, {"channels": [1, 2, 3, 4]}):
        file.write_text(json.dumps({**card, "config": config}))
        assert "not a checkpoint of this program" in refused(copy)


def test_missing_weights_are_named(copy):
    shutil.rmtree(copy / "weights")
    assert "do not fit" in refused(copy)


def test_weights_of_another_size_are_named(copy):
    file = copy / "student.json"
    card = json.loads(file.read_text())
    card["config"]["embed_dim"] = 8
    file.write_text(json.dumps(card))
    assert "do not fit" in refused(copy)

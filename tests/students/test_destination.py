"""Nothing that somebody put there is lost, whatever a folder is written over."""

import json
import os
import shutil
from pathlib import Path

import pytest

from ditta_jax.errors import UserError
from ditta_jax.students import checkpoint, destination
from ditta_jax.students.segformer.config import SegFormerConfig
from ditta_jax.students.student import new_student

SIZES = SegFormerConfig(
    2, (2, 2, 4, 4), (1, 1, 1, 1), (1, 1, 1, 1), (8, 4, 2, 1), 1, embed_dim=4, radius=1
)
CARD = checkpoint.StudentCard(SIZES, ("a", "b"), ((0, 0, 0), (1, 1, 1)), {})
AREA = "Student weights"


@pytest.fixture(scope="module")
def student():
    return new_student(SIZES)


@pytest.fixture(scope="module")
def saved(student, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "student"
    checkpoint.save(path, student, CARD)
    return path


def content(folder):
    return {
        str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None
        for p in sorted(folder.rglob("*"))
    }


def file(place):
    place.write_text("mine")


def foreign_folder(place):
    place.mkdir()
    (place / "thesis.tex").write_text("mine")


def empty_folder_within(place):
    (place / "drafts").mkdir(parents=True)


def folder_of_checkpoints(place):
    shutil.copytree(place.parent / "saved", place / "b0")


def notes_beside_weights(place):
    shutil.copytree(place.parent / "saved", place)
    (place / "notes.txt").write_text("mine")


def notes_among_weights(place):
    shutil.copytree(place.parent / "saved", place)
    (place / "weights" / "d" / "notes.txt").write_text("mine")


def link_to_a_checkpoint(place):
    place.symlink_to(place.parent / "saved")


def link_to_nothing(place):
    place.symlink_to(place.parent / "gone")


def link_among_weights(place):
    shutil.copytree(place.parent / "saved", place)
    (place / "weights" / "mine").symlink_to(place.parent)


def folder_of_hugging_face(place):
    place.mkdir()
    (place / "config.json").write_text("{}")
    (place / "model.safetensors").write_bytes(b"")


def card_of_something_else(place):
    place.mkdir()
    (place / "student.json").write_text('{"name": "Ada"}')


@pytest.mark.robustness(AREA, "a checkpoint is to be written over something else", "refused")
@pytest.mark.parametrize(
    "make",
    [file, foreign_folder, empty_folder_within, folder_of_checkpoints, notes_beside_weights]
    + [notes_among_weights, link_to_a_checkpoint, link_to_nothing, link_among_weights]
    + [folder_of_hugging_face, card_of_something_else],
)
def test_what_stands_there_is_left_alone(student, saved, tmp_path, said, make):
    shutil.copytree(saved, tmp_path / "saved")
    place = tmp_path / "place"
    make(place)
    before = content(tmp_path)
    with pytest.raises(UserError, match="name a folder of its own") as caught:
        checkpoint.save(place, student, CARD)
    assert str(place) in said(str(caught.value))
    assert content(tmp_path) == before


@pytest.mark.robustness(AREA, "a checkpoint is to be written to `.`, `..`, `/`, `~`", "refused")
@pytest.mark.parametrize("place", [".", "..", "/", "../..", "home", "home/.."])
def test_where_one_is_or_lives_is_refused_even_if_empty(
    student, tmp_path, monkeypatch, said, place
):
    for folder in ("home", "work"):
        (tmp_path / folder).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "work")
    path = Path(place.replace("home", str(tmp_path / "home")))
    with pytest.raises(UserError, match="name a folder of its own") as caught:
        checkpoint.save(path, student, CARD)
    said(str(caught.value))
    assert sorted(content(tmp_path)) == ["home", "work"]


def test_the_source_and_what_holds_it_are_refused(saved):
    for place in (saved, saved.parent):
        with pytest.raises(UserError, match="holds"):
            destination.refuse_foreign(place, content(saved), [saved])


def test_an_earlier_checkpoint_and_an_empty_folder_are_replaced(student, saved, tmp_path):
    for make in (Path.mkdir, lambda place: shutil.copytree(saved, place)):
        place = tmp_path / "place"
        make(place)
        checkpoint.save(place, student, CARD._replace(source={"second": True}))
        assert checkpoint.load(place)[1].source == {"second": True}
        assert [p.name for p in tmp_path.iterdir()] == ["place"]
        shutil.rmtree(place)


def test_a_checkpoint_of_the_first_version_is_replaced(student, tmp_path):
    place = shutil.copytree(checkpoint.SHIPPED / "demo", tmp_path / "place")
    card = json.loads((place / "student.json").read_text())
    del card["files"]
    (place / "student.json").write_text(json.dumps(card))
    checkpoint.save(place, student, CARD)
    assert checkpoint.load(place)[1].classes == ("a", "b")


# ---------------------------------------------------------------------------- dying in between


@pytest.mark.parametrize("renames", [0, 1])
def test_a_program_that_dies_leaves_one_whole_checkpoint(
    student, saved, tmp_path, monkeypatch, renames
):
    place = shutil.copytree(saved, tmp_path / "place")
    rename, done = Path.rename, []

    def dying(path, target):
        if len(done) == renames:
            raise KeyboardInterrupt
        done.append(path)
        return rename(path, target)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "rename", dying)
        checkpoint.save(place, student, CARD._replace(source={"second": True}))
    assert checkpoint.load(place)[1].source == {}  # the earlier one
    checkpoint.save(place, student, CARD._replace(source={"second": True}))
    assert checkpoint.load(place)[1].source == {"second": True}
    assert [p.name for p in tmp_path.iterdir()] == ["place"]


def test_a_failed_writing_leaves_the_earlier_checkpoint(student, saved, tmp_path, monkeypatch):
    place = shutil.copytree(saved, tmp_path / "place")
    before = content(tmp_path)

    def full(*_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(checkpoint, "write_atomically", full)
    with pytest.raises(OSError):
        checkpoint.save(place, student, CARD)
    assert content(tmp_path) == before

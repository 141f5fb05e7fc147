"""What `convert` may write over: its own earlier result, and nothing else."""

import shutil

import numpy as np
import pytest

from ditta_jax import convert
from ditta_jax.errors import UserError
from ditta_jax.students import checkpoint
from ditta_jax.students.layouts import released_layout, weight_layout
from ditta_jax.students.segformer.config import SegFormerConfig
from ditta_jax.students.student import new_student

SIZES = SegFormerConfig(
    2, (2, 2, 4, 4), (1, 1, 1, 1), (1, 1, 1, 1), (8, 4, 2, 1), 1, embed_dim=4, radius=1
)
AREA = "Student weights"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A file in the released layout, as the authors' program leaves it, and a checkpoint."""
    folder = tmp_path_factory.mktemp("made")
    student = new_student(SIZES)
    np.savez(folder / "theirs.npz", **weight_layout.dump(released_layout.RELEASED, student))
    card = checkpoint.StudentCard(SIZES, ("a", "b"), ((0, 0, 0), (1, 1, 1)), {})
    checkpoint.save(folder / "student", student, card)
    return folder


@pytest.fixture
def work(made, tmp_path, monkeypatch):
    """A folder with copies of them, in which the program is called."""
    folder = shutil.copytree(made, tmp_path / "work")
    monkeypatch.chdir(folder)
    return folder


def content(folder):
    return {
        str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None
        for p in sorted(folder.rglob("*"))
    }


def refused(work, said, *arguments):
    before = content(work)
    with pytest.raises(UserError) as caught:
        convert.main(list(map(str, arguments)))
    assert content(work) == before
    return said(str(caught.value))


@pytest.mark.robustness(AREA, "`convert SRC DST`, DST holds something else", "refused, kept")
@pytest.mark.parametrize("place", [".", "..", "theirs.npz", "full", "{work}"])
def test_a_destination_that_holds_something_else_is_refused(work, said, place):
    (work / "full").mkdir()
    (work / "full" / "mine.txt").write_text("mine")
    message = refused(work, said, "theirs.npz", place.format(work=work), "--heads", "1,1,1,1")
    assert "name a folder of its own" in message


@pytest.mark.robustness(AREA, "`convert SRC SRC`, SRC a folder of Hugging Face", "refused, kept")
def test_a_source_is_never_replaced(work, said):
    (work / "theirs").mkdir()
    (work / "theirs" / "config.json").write_text("{}")
    message = refused(work, said, "theirs", "theirs")
    assert "is or holds the source" in message


def test_a_wrong_destination_is_refused_before_the_source_is_read(work, said):
    (work / "theirs.npz").write_bytes(b"cut off")
    assert "name a folder of its own" in refused(work, said, "theirs.npz", ".")


def test_an_earlier_result_is_replaced(work):
    for _ in range(2):
        convert.main(["theirs.npz", "new", "--heads", "1,1,1,1"])
        assert checkpoint.load(work / "new")[1].source == {"converted_from": "theirs.npz"}
    assert sorted(p.name for p in work.iterdir()) == ["new", "student", "theirs.npz"]


# ---------------------------------------------------------------------------- out, to a file


@pytest.mark.robustness(AREA, "`convert … FILE --to released`, FILE is another's", "refused, kept")
@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("theirs.npz", "this program did not write it"),
        ("notes.npz", "this program did not write it"),
        ("student", "is a folder; name a file"),
        (".", "is a folder; name a file"),
        ("link.npz", "is a link"),
    ],
)
def test_a_file_of_somebody_is_never_replaced(work, said, place, words):
    (work / "notes.npz").write_text("mine")
    (work / "link.npz").symlink_to(work / "theirs.npz")
    assert words in refused(work, said, "student", place, "--to", "released")


def test_an_earlier_file_is_replaced(work):
    for _ in range(2):
        convert.main(["student", "out.npz", "--to", "released"])
    assert (work / "out.npz").is_file()

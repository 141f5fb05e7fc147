import json
import shutil

import numpy as np
import pytest
from flax import nnx

from ditta_jax.errors import UserError
from ditta_jax.students import card as card_file
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


@pytest.mark.robustness(
    "Student weights", "a `student.json` that is cut off or something else", "refused by name"
)
@pytest.mark.parametrize(
    "text",
    [
        '{"format": "ditta_jax stu',
        "",
        "[]",
        "{}",
        "3",
        "null",
        '{"format": "another 1"}',
        '{"format": NaN}',
        '{"format": "ditta_jax student 1", "format": "ditta_jax student 1"}',
        "[" * 100_000,
        '{"format": ' + '"' + "x" * 5_000_000 + '"}',
        "\x00\xff",
    ],
    ids=range(12),
)
def test_a_broken_or_foreign_card_is_named(copy, text, said):
    (copy / "student.json").write_text(text, "latin-1")
    message = said(refused(copy))
    assert "student.json: not a checkpoint of this program" in message and len(message) < 400


def test_a_card_that_is_a_folder_or_missing_is_named(copy):
    (copy / "student.json").unlink()
    assert "not a checkpoint of this program" in refused(copy)
    (copy / "student.json").mkdir()
    assert "not a checkpoint of this program" in refused(copy)


ABSENT = object()
EDITS = [
    ("family", 3, "'family' must be a name, not 3"),
    ("family", "../x", "'family' must be a name"),
    ("family", "net", "student family must be one of segformer, openmmlab, espnetv2, not 'net'"),
    ("config", ABSENT, "'config' must be an object, not None"),
    ("config", [], "'config' must be an object, not []"),
    ("config.wings", 2, "'config.wings' is unknown; known: num_classes, channels"),
    ("config.num_classes", ABSENT, "'config.num_classes' is missing"),
    ("config.num_classes", "2", "'num_classes' must be int, not str"),
    ("config.num_classes", 2.5, "'num_classes' must be int, not float"),
    ("config.num_classes", True, "'num_classes' must be int, not bool"),
    ("config.num_classes", None, "'num_classes' must be int, not NoneType"),
    ("config.num_classes", 0, "'num_classes' must be in 1 … 255"),
    ("config.num_classes", -1, "'num_classes' must be in 1 … 255"),
    ("config.num_classes", 256, "'num_classes' must be in 1 … 255 (labels are bytes"),
    ("config.num_classes", 10**12, "'num_classes' must be in 1 … 255"),
    ("config.num_classes", 3, "'palette' must be RGB colours (0 … 255)"),
    ("config.channels", 3, "'channels' must be tuple of int, not int"),
    ("config.channels", "3444", "'channels' must be tuple of int, not str"),
    ("config.channels", [3, 4, 4], "'channels' must be four numbers"),
    ("config.channels", [3, 4, 4, 5, 6], "'channels' must be four numbers"),
    ("config.channels", [], "'channels' must be four numbers"),
    (
        "config.channels",
        [3, 4, "4", 5],
        "not tuple of int and str",
    ),
    ("config.channels", [3, 4, [4], 5], "'channels' must be tuple of int"),
    ("config.channels", [3, 4, 4.5, 5], "'channels' must be tuple of int"),
    ("config.channels", [3, 4, 0, 5], "'channels' must be four numbers in 1 … 8192"),
    ("config.channels", [3, 4, 10**15, 5], "'channels' must be four numbers in 1 … 8192"),
    ("config.channels", [4, 4, 4, 4], "do not fit student.json"),
    ("config.depths", [1, 1, 1, 10**9], "'depths' must be four numbers in 1 … 256"),
    ("config.depths", [1, 1, 1, 2], "do not fit student.json"),
    ("config.heads", [1, 1, 1, 2], "'heads' (1, 1, 1, 2) must divide 'channels' (3, 4, 4, 5)"),
    ("config.heads", [0, 1, 1, 1], "'heads' must be four numbers"),
    ("config.reductions", [8, 4, 2, -1], "'reductions' must be four numbers"),
    ("config.reductions", [8, 4, 2, {}], "'reductions' must be tuple of int"),
    ("config.mlp_ratio", 0, "'mlp_ratio' must be in 1 … 64"),
    ("config.mlp_ratio", 1.5, "'mlp_ratio' must be int, not float"),
    ("config.embed_dim", -6, "'embed_dim' must be in 1 … 8192"),
    ("config.embed_dim", 10**12, "'embed_dim' must be in 1 … 8192"),
    ("config.embed_dim", 8, "do not fit student.json"),
    ("config.radius", -1, "'radius' must be in 0 … 64"),
    ("config.radius", 10**6, "'radius' must be in 0 … 64"),
    ("config.block_norm_eps", 0, "'block_norm_eps' must be in"),
    ("config.block_norm_eps", "1e-6", "'block_norm_eps' must be float, not str"),
    ("config.mean", [1.0, 2.0], "'mean' must be three grey levels"),
    ("config.std", [1.0, 2.0, 0.0], "'std' must be three grey levels above 0"),
    ("config.std", None, "'std' must be tuple of float"),
    ("classes", ABSENT, "'classes' is missing"),
    ("classes", "road", "'classes' must be tuple of str, not str"),
    ("classes", ["road"], "'classes' has 1 names, and 'num_classes' is 2"),
    ("classes", ["road", 2], "'classes' must be tuple of str"),
    ("classes", ["road", "road"], "it has 'road' twice"),
    ("classes", ["road", ""], "it is empty"),
    ("classes", ["road", "a\nb"], "control character"),
    ("classes", [str(i) for i in range(256)], "256 classes are more than 255"),
    ("palette", ABSENT, "'palette' is missing"),
    ("palette", [[1, 2, 3]], "'palette' must be RGB colours"),
    ("palette", [[1, 2, 3], [1, 2]], "'palette' must be RGB colours"),
    ("palette", [[1, 2, 3], [1, 2, 256]], "'palette' must be RGB colours"),
    ("palette", [[1, 2, 3], [1, 2, -1]], "'palette' must be RGB colours"),
    ("palette", [[1, 2, 3], [1, 2, 3.5]], "'palette' must be tuple of tuple of int"),
    ("palette", [[1, 2, 3], "red"], "'palette' must be tuple of tuple of int"),
    ("palette", 3, "'palette' must be tuple of tuple of int"),
    ("source", ABSENT, "'source' must be an object"),
    ("source", "a note", "'source' must be an object"),
    ("files", 3, "'files' must be an object, not 3"),
    ("files", {"../x": "0" * 64}, "'files' names '../x', which is no file of a checkpoint"),
    ("files", {"/etc/passwd": "0" * 64}, "'files' names '/etc/passwd'"),
    ("files", {"weights/x": "short"}, "'files.weights/x' must be 64 digits"),
    ("files", {"weights/x": "0" * 64}, "weights/x: cannot be read (No such file"),
]


@pytest.mark.robustness(
    "Student weights",
    "a `student.json` edited by hand: a key missing, unknown, of another type or out of range",
    "refused by file and key, before anything is allocated",
)
@pytest.mark.parametrize(("key", "value", "words"), EDITS)
def test_an_edited_card_is_refused_by_its_key(copy, key, value, words, said):
    file = copy / "student.json"
    card = json.loads(file.read_text())
    section, _, last = key.rpartition(".")
    part = card[section] if section else card
    part[last] = value
    if value is ABSENT:
        del part[last]
    file.write_text(json.dumps(card))
    message = said(refused(copy))
    assert words in message and len(message) < 600
    assert "student.json" in message or key == "files"


def test_whole_numbers_serve_as_real_ones_and_old_cards_load(copy, student):
    file = copy / "student.json"
    card = json.loads(file.read_text())
    for key in ("mean", "std"):
        del card["config"][key]
    for key in ("family", "files"):
        del card[key]
    file.write_text(json.dumps(card))
    loaded, found = checkpoint.load(copy)
    assert found == CARD and checkpoint.fingerprint(loaded) == checkpoint.fingerprint(student)
    card["config"]["mean"] = [1, 2, 3]
    file.write_text(json.dumps(card))
    config = checkpoint.load(copy)[0].config
    assert config.mean == (1.0, 2.0, 3.0) and all(type(own) is float for own in config.mean)


@pytest.mark.robustness(
    "Student weights", "one flipped bit anywhere in a checkpoint's weights", "refused by name"
)
def test_no_flipped_bit_is_read_in_silence(copy, said):
    files = sorted(file for file in (copy / "weights").rglob("*") if file.is_file())
    generator = np.random.default_rng(0)
    assert files
    for file in files:
        whole = file.read_bytes()
        for place in {0, len(whole) - 1, *generator.integers(len(whole), size=2).tolist()}:
            data = bytearray(whole)
            data[place] ^= 1 << int(generator.integers(8))
            file.write_bytes(data)
            assert f"{file}: damaged" in said(refused(copy))
        file.write_bytes(whole[:-1])
        assert f"{file}: damaged" in refused(copy)
        file.unlink()
        assert f"{file}: cannot be read (No such file or directory)" in refused(copy)
        file.write_bytes(whole)
    checkpoint.load(copy)


def test_the_shipped_student_carries_its_digests():
    folder = checkpoint.SHIPPED / "demo"
    card, digests = card_file.read(folder)
    assert digests == checkpoint.digests_of(folder)
    assert checkpoint.load("embedded")[1] == card


def forget_digests(folder):
    """Makes a checkpoint one of an older version."""
    card = json.loads((folder / "student.json").read_text())
    del card["files"]
    (folder / "student.json").write_text(json.dumps(card))


def test_missing_weights_are_named(copy):
    shutil.rmtree(copy / "weights")
    assert "cannot be read (No such file or directory)" in refused(copy)
    forget_digests(copy)
    assert "do not fit" in refused(copy)


def test_weights_of_another_size_are_named(copy):
    file = copy / "student.json"
    card = json.loads(file.read_text())
    card["config"]["embed_dim"] = 8
    file.write_text(json.dumps(card))
    assert "do not fit" in refused(copy)

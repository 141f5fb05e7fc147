import hashlib
import os

import pytest

from ditta_jax.errors import UserError
from ditta_jax.teacher.cache import teacher_key
from ditta_jax.teacher.identity import own_config, teacher_identity

TINY = "configs/sam2.1/sam2.1_hiera_t.yaml"


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "weights.pt"
    path.write_bytes(b"weights")
    return path


def test_weights_are_known_by_their_content(weights, tmp_path):
    digest = hashlib.sha256(b"weights").hexdigest()
    here = teacher_identity(TINY, str(weights))
    assert here["weights"] == digest
    other_name = tmp_path / "other.pt"
    other_name.write_bytes(b"weights")
    assert teacher_identity(TINY, str(other_name)) == here
    assert teacher_identity(TINY, f"sha256:{digest.upper()}") == here


def test_every_setting_that_changes_masks_changes_the_key(weights, tmp_path):
    yaml = tmp_path / "own.yaml"
    yaml.write_text("model: 1")
    other = tmp_path / "other.pt"
    other.write_bytes(b"other")
    identities = [
        teacher_identity(TINY, str(weights)),
        teacher_identity(TINY, str(other)),
        teacher_identity("configs/sam2.1/sam2.1_hiera_l.yaml", str(weights)),
        teacher_identity(str(yaml), str(weights)),
        teacher_identity("embedded", str(weights)),
        teacher_identity(TINY, str(weights), "bfloat16"),
        teacher_identity(TINY, str(weights), mask_threshold=1.5),
    ]
    assert len({teacher_key(identity) for identity in identities}) == len(identities)


def test_own_yaml_is_known_by_content_not_by_place(weights, tmp_path):
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text("model: 1")
    first, second = (
        teacher_identity(str(tmp_path / n), str(weights)) for n in ("a.yaml", "b.yaml")
    )
    assert first == second
    (tmp_path / "b.yaml").write_text("model: 2")
    assert teacher_identity(str(tmp_path / "b.yaml"), str(weights)) != first
    assert own_config(TINY) is None


def test_a_changed_file_is_noticed(weights):
    before = teacher_identity(TINY, str(weights))
    weights.write_bytes(b"weightz")
    os.utime(weights, ns=(1, 1))
    assert teacher_identity(TINY, str(weights)) != before


def test_palette_folder_is_known_by_its_files(tmp_path):
    (tmp_path / "video").mkdir()
    (tmp_path / "video" / "0.png").write_bytes(b"a")
    before = teacher_identity(f"palette:{tmp_path}")
    assert teacher_identity(f"palette:{tmp_path}") == before
    (tmp_path / "video" / "1.png").write_bytes(b"a")
    assert teacher_identity(f"palette:{tmp_path}") != before


@pytest.mark.parametrize(
    ("config", "checkpoint", "dtype", "message"),
    [
        (TINY, "", "float32", "teacher.checkpoint: empty"),
        (TINY, "nowhere.pt", "float32", "nowhere.pt: no such file"),
        (TINY, "sha256:12", "float32", "64 digits"),
        (TINY, "sha256:" + "0" * 64, "float16", "teacher.dtype: 'float16'"),
        ("/nowhere/x.yaml", "sha256:" + "0" * 64, "float32", "no such .yaml file"),
        ("tiny", "sha256:" + "0" * 64, "float32", "teacher.config: 'tiny'"),
        ("palette:nowhere", "", "float32", "expected PNGs"),
    ],
)
def test_faults_are_named(config, checkpoint, dtype, message):
    with pytest.raises(UserError, match=message):
        teacher_identity(config, checkpoint, dtype)

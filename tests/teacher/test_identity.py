import hashlib
import os
from pathlib import Path

import pytest

from ditta_jax.errors import UserError
from ditta_jax.teacher.cache import teacher_key
from ditta_jax.teacher.identity import own_config, teacher_identity
from ditta_jax.teacher.sam2_names import KNOWN

DIGEST = "sha256:" + "0" * 64
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
        ("sam2.1_hiera_x", DIGEST, "float32", "did you mean sam2.1_hiera_"),
        ("sam3", DIGEST, "float32", "'sam3' is not known; expected 'embedded', sam2.1_hiera_t,"),
        ("giant", DIGEST, "float32", "'giant' is not known"),
        ("sam2.2_t", DIGEST, "float32", "is not known"),
        ("", DIGEST, "float32", "is not known"),
        ("palette:nowhere", "", "float32", "nowhere: no masks in it; expected <video>/<frame>"),
        ("masks:", "", "float32", "no masks in it"),
    ],
)
def test_faults_are_named(config, checkpoint, dtype, message):
    with pytest.raises(UserError, match=message):
        teacher_identity(config, checkpoint, dtype)


@pytest.mark.robustness(
    "Teacher and masklets",
    "a SAM 2 configuration by a short name (`sam2.1_hiera_t`, `sam2.1_t`, `tiny`)",
    "known by all of them; an unknown one is answered by the list",
)
def test_short_names_of_configurations(said):
    tiny, base = "configs/sam2.1/sam2.1_hiera_t.yaml", "configs/sam2.1/sam2.1_hiera_b+.yaml"
    names = {
        tiny: (
            *(tiny, "sam2.1_hiera_t", "sam2.1_hiera_t.yaml", "sam2.1_hiera_tiny", "sam2.1_t"),
            *("sam2.1-tiny", "tiny", "t", "Tiny", "hiera_t", "facebook/sam2.1-hiera-tiny"),
            "sam2.1_hiera_tiny.pt",
        ),
        base: ("base_plus", "b+", "base+", "facebook/sam2.1-hiera-base-plus", "sam2.1_hiera_b+"),
        "configs/sam2/sam2_hiera_l.yaml": (
            *("sam2_hiera_l", "sam2_hiera_large.pt", "sam2-hiera-large", "sam2.0_large"),
            "facebook/sam2-hiera-large",
        ),
        "configs/of_a_fork/model.yaml": ("configs/of_a_fork/model.yaml",),
    }
    for full, short in names.items():
        identities = [teacher_identity(name, DIGEST) for name in short]
        assert {identity["config"] for identity in identities} == {full}
    with pytest.raises(UserError) as caught:
        teacher_identity("sam2.1_hiera_x", DIGEST)
    assert all(name in said(str(caught.value)) for name in KNOWN)


def test_every_known_configuration_is_in_the_package():
    package = pytest.importorskip("sam2")
    folder = Path(package.__file__).parent
    assert all((folder / path).is_file() for path in KNOWN.values())

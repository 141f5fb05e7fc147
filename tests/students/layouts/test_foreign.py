"""Weights as trainers of this field leave them: wrapped, prefixed, in shards, with much beside."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from flax import nnx

from ditta_jax.errors import UserError
from ditta_jax.students.layouts import foreign, weight_files, weight_layout
from ditta_jax.students.layouts.huggingface_layout import HUGGINGFACE, HUGGINGFACE_5
from ditta_jax.students.layouts.openmmlab_layout import OPENMMLAB
from ditta_jax.students.layouts.released_layout import RELEASED
from ditta_jax.students.openmmlab.config import OpenMMLabConfig
from ditta_jax.students.segformer.config import SegFormerConfig
from ditta_jax.students.student import new_student

torch = pytest.importorskip("torch")

SIZES = {
    "num_classes": 3,
    "channels": (4, 6, 8, 10),
    "depths": (1, 1, 1, 2),
    "heads": (1, 2, 4, 5),
    "reductions": (4, 2, 1, 1),
    "mlp_ratio": 2,
    "embed_dim": 8,
}
HEADS = SIZES["heads"]
STUDENT = new_student(SegFormerConfig(**SIZES), seed=1)
WEIGHTS = weight_layout.dump(RELEASED, STUDENT)
PUBLISHED = {  # as published: without what DiTTA adds
    key: torch.from_numpy(np.array(value))
    for key, value in WEIGHTS.items()
    if not re.search("query_layer|key_layer|proj_feat", key)
}
AREA = "Student weights"


def prefixed(prefix, weights=PUBLISHED):
    return {prefix + key: value for key, value in weights.items()}


def doubled(weights):
    return {key: value * 2 for key, value in weights.items()}


def read(path, **options):
    return foreign.read(path, **({"heads": HEADS} | options))


def refused(path, **options):
    with pytest.raises(UserError) as caught:
        read(path, **options)
    message = str(caught.value)
    assert len(message.splitlines()) == 1 and str(path) in message
    return message


def assert_published(found, factor=1.0):
    """The encoder and decoder of a found student are the published weights, times a factor."""
    arrays = weight_layout.dump(RELEASED, found.loaded.student)
    for key, value in PUBLISHED.items():
        np.testing.assert_array_equal(arrays[key], value.numpy() * np.float32(factor), err_msg=key)
    assert found.loaded.fresh == ["projection", "temporal fusion"]


# ---------------------------------------------------------------------------- wrapped


WRAPPED = {
    "bare": PUBLISHED,
    **{
        name: {name: PUBLISHED, "epoch": 3, "optimizer": {"state": {0: {"m": torch.ones(2)}}}}
        for name in (
            *("state_dict", "model", "model_state_dict", "net", "network", "module"),
            *("model_state", "weights", "params", "segmentor", "anything else"),
        )
    },
    "only an average": {"state_dict_ema": PUBLISHED},
    "only a teacher": {"teacher": prefixed("module.")},
    "model and average": {"state_dict_ema": doubled(PUBLISHED), "state_dict": PUBLISHED},
    "two deep": {"checkpoint": {"model": PUBLISHED}, "ema": {"module": doubled(PUBLISHED)}},
    "DataParallel": prefixed("module."),
    "compiled in parallel": {"model": prefixed("module._orig_mod.")},
    "compiled inside": {
        key.replace("backbone.", "backbone._orig_mod."): v for key, v in PUBLISHED.items()
    },
    "Lightning": {"state_dict": prefixed("model."), "pytorch-lightning_version": "2.1"},
    "Lightning net": {"state_dict": prefixed("net.model.") | {"criterion.weight": torch.ones(3)}},
    "student and teacher": prefixed("teacher.", doubled(PUBLISHED)) | prefixed("student."),
    "model and ema_model": prefixed("ema_model.", doubled(PUBLISHED)) | prefixed("model."),
    "other names of the halves": {
        key.replace("backbone.", "encoder.").replace("decode_head.", "decoder."): value
        for key, value in PUBLISHED.items()
    },
    "halves without names": {
        key.replace("decode_head.", "").replace("backbone.", "encoder."): value
        for key, value in PUBLISHED.items()
    },
    "much beside": PUBLISHED
    | {"auxiliary_head.convs.0.weight": torch.ones(2), "loss.scale": torch.ones(1)}
    | {"backbone.head.weight": torch.ones(2), "decode_head.loss_decode.weight": torch.ones(3)},
    "numbers among the tensors": PUBLISHED | {"epoch": 3, "best": 0.5, "notes": None},
}


@pytest.mark.robustness(
    AREA,
    "a state dict bare or under any name, in parts, with prefixes, with further weights beside it",
    "the model is found; what was left out is said",
)
@pytest.mark.parametrize("kind", WRAPPED)
def test_the_model_is_found_in_whatever_is_wrapped_around_it(tmp_path, kind):
    path = tmp_path / "weights.pth.tar"
    torch.save(WRAPPED[kind], path)
    assert_published(read(path))


def test_what_was_left_out_is_said(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save(WRAPPED["much beside"] | {"epoch": 3}, path)
    unused = read(path).loaded.unused
    assert unused["auxiliary_head.convs.0.weight"] == "beside the model"
    assert unused["backbone.head.weight"] == "a classifier of whole images"
    assert unused["decode_head.loss_decode.weight"] == "of the training's loss"
    assert unused["epoch"] == "no array"
    torch.save(WRAPPED["model and average"], path)
    assert set(read(path).loaded.unused.values()) == {"of another part"}


def test_another_part_is_taken_on_request(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save(WRAPPED["model and average"], path)
    assert_published(read(path, part="state_dict_ema"), factor=2)
    message = refused(path, part="nothing")
    assert "--part nothing: there is none; known: 'state_dict', 'state_dict_ema'" in message
    torch.save(WRAPPED["student and teacher"], path)
    assert_published(read(path, part="teacher"), factor=2)


def test_keys_that_name_the_same_array_are_refused(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save(PUBLISHED | prefixed("module."), path)
    assert "keys with and without 'module.' name the same array" in refused(path)


@pytest.mark.robustness(AREA, "an encoder without a segmentation head", "refused; says what to do")
@pytest.mark.parametrize("prefix", ["", "backbone.", "module.model.encoder."])
def test_an_encoder_alone_is_named(tmp_path, said, prefix):
    path = tmp_path / "mit_b0.pth"
    encoder = {
        prefix + key.removeprefix("backbone."): value
        for key, value in PUBLISHED.items()
        if key.startswith("backbone.")
    }
    torch.save(encoder | {"head.weight": torch.ones(2)}, path)
    message = said(refused(path))
    assert "no segmentation head" in message and "ditta_jax.pretrain" in message
    # `pretrain` takes it, and leaves everything else fresh
    loaded = foreign.read_encoder(path, classes=7, embed_dim=16, heads=HEADS, seed=1)
    assert_only_the_encoder_is_published(loaded)


def test_the_encoder_of_a_whole_model_is_taken_alone(tmp_path):
    path = tmp_path / "whole.pth"
    torch.save(prefixed("model."), path)
    assert_only_the_encoder_is_published(foreign.read_encoder(path, 7, 16, HEADS, 1))


def assert_only_the_encoder_is_published(loaded):
    sizes = {**SIZES, "num_classes": 7, "embed_dim": 16}
    assert loaded.student.config == SegFormerConfig(**sizes)
    fresh = weight_layout.dump(RELEASED, new_student(loaded.student.config, seed=1))
    for key, value in weight_layout.dump(RELEASED, loaded.student).items():
        expected = PUBLISHED[key].numpy() if key.startswith("backbone.") else fresh[key]
        np.testing.assert_array_equal(value, expected, err_msg=key)


@pytest.mark.robustness(
    AREA,
    "weights that are NaN, whole numbers (quantised), complex, or a variance below zero",
    "refused by name",
)
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: x * float("nan"), "backbone.patch_embed1.proj.weight (not finite)"),
        (lambda x: x.double() * 1e300, "(not finite)"),
        (lambda x: x.to(torch.int8), "proj.weight (int8, expected floating-point numbers)"),
        (lambda x: x > 0, "(bool, expected"),
        (lambda x: x.to(torch.complex64), "(complex64, expected"),
    ],
)
def test_numbers_that_are_no_weights_are_refused(tmp_path, said, change, words):
    path, key = tmp_path / "weights.pth", "backbone.patch_embed1.proj.weight"
    torch.save(PUBLISHED | {key: change(PUBLISHED[key])}, path)
    assert words in said(refused(path))


def test_a_variance_below_zero_is_refused(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save({k: v - 5 if k.endswith("running_var") else v for k, v in PUBLISHED.items()}, path)
    assert "running_var (a negative variance)" in refused(path)


def test_weights_of_something_else_are_named(tmp_path):
    path = tmp_path / "resnet.pth"
    torch.save({"conv1.weight": torch.ones(2), "fc.bias": torch.ones(1)}, path)
    message = refused(path)
    assert "no key ends in patch_embed1.proj.weight (it has 2 keys such as conv1.weight" in message


@pytest.mark.robustness(AREA, "more than 255 classes", "refused at load, everywhere")
def test_more_classes_than_a_byte_holds_are_refused(tmp_path, said):
    path = tmp_path / "weights.pth"
    many = {
        "decode_head.linear_pred.weight": torch.zeros(290, 8, 1, 1),
        "decode_head.linear_pred.bias": torch.zeros(290),
    }
    torch.save(PUBLISHED | many, path)
    message = said(refused(path))
    assert "'num_classes' must be in 1 … 255 (labels are bytes" in message and "290" in message


# ---------------------------------------------------------------------------- names and colours


@pytest.mark.parametrize(
    "meta",
    [
        {"CLASSES": ("a", "b", "c"), "PALETTE": [[1, 2, 3], [4, 5, 6], [7, 8, 9]]},
        {
            "dataset_meta": {
                "classes": ["a", "b", "c"],
                "palette": [[1, 2, 3], [4, 5, 6], [7, 8, 9]],
            }
        },
        {
            "CLASSES": None,
            "dataset_meta": {
                "CLASSES": ("a", "b", "c"),
                "PALETTE": ((1, 2, 3), (4, 5, 6), (7, 8, 9)),
            },
        },
    ],
)
def test_names_and_colours_are_read_where_mmsegmentation_writes_them(tmp_path, meta):
    torch.save({"state_dict": PUBLISHED, "meta": meta}, tmp_path / "w.pth")
    found = read(tmp_path / "w.pth")
    assert found.classes == ("a", "b", "c")
    assert found.palette == ((1, 2, 3), (4, 5, 6), (7, 8, 9))


@pytest.mark.parametrize("meta", ["text", {"CLASSES": 3, "PALETTE": "red"}, {"dataset_meta": []}])
def test_strange_notes_do_no_harm(tmp_path, meta):
    torch.save({"state_dict": PUBLISHED, "meta": meta}, tmp_path / "w.pth")
    found = read(tmp_path / "w.pth")
    assert found.classes == found.palette == ()


# ------------------------------------------------------------------ segmentation_models.pytorch


@pytest.mark.robustness(
    AREA, "a SegFormer of segmentation_models.pytorch", "read; its levels come in another order"
)
@pytest.mark.parametrize("prefix", ["", "model."])
def test_segmentation_models_pytorch_is_read(tmp_path, prefix):
    names = {
        "backbone.": "encoder.",
        "decode_head.linear_fuse.conv": "decoder.fuse_stage.0",
        "decode_head.linear_fuse.bn": "decoder.fuse_stage.1",
        "decode_head.linear_pred": "segmentation_head.0",
        **{
            f"decode_head.linear_c{n}.proj": f"decoder.mlp_stage.{4 - n}.linear"
            for n in range(1, 5)
        },
    }
    state = {}
    for key, value in PUBLISHED.items():
        old = next(own for own in names if key.startswith(own))
        state[prefix + key.replace(old, names[old])] = value
    assert state[f"{prefix}decoder.mlp_stage.0.linear.weight"].shape == (8, 10)
    torch.save({"state_dict": state | {"loss.weight": torch.ones(3)}}, tmp_path / "w.ckpt")
    found = read(tmp_path / "w.ckpt")
    assert found.layout == "segmentation_models.pytorch"
    assert_published(found)


# ---------------------------------------------------------------------------- OpenMMLab's own


def openmmlab_state():
    """A student of OpenMMLab's kind and its weights as mmsegmentation names them."""
    student = new_student(OpenMMLabConfig(**SIZES), seed=2)
    arrays = weight_layout.dump(OPENMMLAB, student)
    joined = {}
    for key, value in arrays.items():
        if ".attn.attn.q." in key:
            other = arrays[key.replace(".q.", ".kv.")]
            joined[key.replace("q.", "in_proj_")] = np.concatenate([value, other])
        elif ".attn.attn.kv." not in key and not re.search("query_|key_layer|proj_feat", key):
            joined[key] = value
    return student, {key: torch.from_numpy(np.array(value)) for key, value in joined.items()}


@pytest.mark.robustness(
    AREA,
    "mmsegmentation's own SegFormer (`backbone.layers.0.0.projection…`)",
    "read, with its head",
)
def test_openmmlabs_segformer_is_read_with_its_head(tmp_path):
    student, state = openmmlab_state()
    assert state["backbone.layers.0.1.0.attn.attn.in_proj_weight"].shape == (12, 4)
    assert state["backbone.layers.0.1.0.ffn.layers.0.weight"].shape == (8, 4, 1, 1)
    torch.save({"state_dict": state, "meta": {}}, tmp_path / "w.pth")
    found = read(tmp_path / "w.pth")
    assert found.loaded.student.config == student.config
    there, here = (weight_layout.dump(OPENMMLAB, s) for s in (student, found.loaded.student))
    for key, value in there.items():
        if not re.search("query_|key_layer|proj_feat", key):
            np.testing.assert_array_equal(here[key], value, err_msg=key)


def test_openmmlabs_decoder_equals_its_operations_in_torch():
    from torch.nn import functional as F

    student, state = openmmlab_state()
    generator = np.random.default_rng(0)
    head = {}
    for key, value in state.items():
        if key.startswith("decode_head."):
            own = generator.normal(size=value.shape)
            own = np.abs(own) + 0.5 if "running_var" in key else own
            head[key.removeprefix("decode_head.")] = torch.from_numpy(own.astype(np.float32))
    arrays = {k: v.numpy() for k, v in state.items()}
    arrays |= {f"decode_head.{key}": value.numpy() for key, value in head.items()}
    named = OPENMMLAB.prepare(arrays)
    ours = weight_layout.load(OPENMMLAB, student.config, named, "test").student
    maps = [
        generator.normal(size=(2, 12 >> level, 16 >> level, c)).astype(np.float32)
        for level, c in enumerate(SIZES["channels"])
    ]

    def module(x, name):
        x = F.conv2d(x, head[f"{name}.conv.weight"])
        numbers = [
            head[f"{name}.bn.{n}"] for n in ("running_mean", "running_var", "weight", "bias")
        ]
        return F.relu(F.batch_norm(x, *numbers, eps=1e-5))

    levels = [
        module(torch.from_numpy(m).permute(0, 3, 1, 2), f"convs.{i}") for i, m in enumerate(maps)
    ]
    levels = [F.interpolate(x, (12, 16), mode="bilinear", align_corners=False) for x in levels]
    f = module(torch.cat(levels, 1), "fusion_conv")
    z = F.conv2d(f, head["conv_seg.weight"], head["conv_seg.bias"])
    got = ours.classify(ours.embed(tuple(maps)))
    np.testing.assert_allclose(got, z.permute(0, 2, 3, 1).numpy(), rtol=1e-4, atol=1e-4)


# ---------------------------------------------------------------------------- Hugging Face


@pytest.fixture(scope="module")
def model():
    transformers = pytest.importorskip("transformers")
    return transformers.SegformerForSemanticSegmentation(
        transformers.SegformerConfig(
            hidden_sizes=list(SIZES["channels"]),
            depths=list(SIZES["depths"]),
            num_attention_heads=list(HEADS),
            sr_ratios=list(SIZES["reductions"]),
            mlp_ratios=[2] * 4,
            decoder_hidden_size=8,
            id2label={0: "road", 1: "car", 2: "sky"},
        )
    )


@pytest.fixture
def folder(model, tmp_path):
    model.save_pretrained(tmp_path / "hf")
    return tmp_path / "hf"


def same_arrays(one, other):
    first, second = (dict(nnx.to_flat_state(nnx.state(s))) for s in (one, other))
    return all(np.array_equal(first[p].get_value(), second[p].get_value()) for p in first)


def test_every_form_of_a_folder_gives_the_same_student(model, folder, tmp_path):
    expected = read(folder, heads=None)
    assert expected.classes == ("road", "car", "sky")
    state = model.state_dict()
    assert any("stages.0.blocks" in key for key in state), "transformers 5 names"
    forms = {"single": folder / "model.safetensors"}
    model.save_pretrained(tmp_path / "shards", max_shard_size="3kB")
    forms["shards"] = tmp_path / "shards"
    forms["index"] = tmp_path / "shards" / "model.safetensors.index.json"
    assert forms["index"].is_file() and len(list(forms["shards"].glob("*.safetensors"))) > 2
    binary = tmp_path / "binary"
    binary.mkdir()
    (binary / "config.json").write_bytes((folder / "config.json").read_bytes())
    keys, places = list(state), {}
    for number, own in enumerate((keys[::2], keys[1::2])):
        name = f"pytorch_model-0000{number}.bin"
        torch.save({key: state[key] for key in own}, binary / name)
        places |= dict.fromkeys(own, name)
    index = binary / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    forms["binary shards, names of transformers 5"] = binary
    torch.save(state, tmp_path / "state.pth")
    forms["state dict, names of transformers 5"] = tmp_path / "state.pth"
    torch.save({"model": {f"segmenter.{k}": v for k, v in state.items()}}, tmp_path / "light.ckpt")
    forms["within a trainer's"] = tmp_path / "light.ckpt"
    for form, source in forms.items():
        found = read(source, heads=HEADS if source.suffix in (".pth", ".ckpt") else None)
        assert found.loaded.student.config == expected.loaded.student.config, form
        assert same_arrays(found.loaded.student, expected.loaded.student), form


@pytest.mark.robustness(
    AREA, "shards of weights of which one is missing or foreign", "refused by name"
)
def test_shards_that_do_not_fit_are_named(folder, tmp_path, said):
    index = tmp_path / "model.safetensors.index.json"
    for text, words in {
        "{": "not an index of weights",
        "[]": "not an index of weights",
        '{"weight_map": {"a": 3}}': "names 3 as a file",
        '{"weight_map": {"a": "../x"}}': "names '../x' as a file: it is a path",
        '{"weight_map": {"a": "x.safetensors"}}': "x.safetensors: no such file, and model.safe",
    }.items():
        index.write_text(text)
        with pytest.raises(UserError, match=re.escape(words)) as caught:
            read(index)
        said(str(caught.value))
    (tmp_path / "x.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    assert "a is not in x.safetensors" in refused(index)


@pytest.mark.robustness(
    AREA, "`num_labels` without names; `preprocessor_config.json` with other mean and std", "used"
)
def test_the_number_of_labels_and_the_normalisation_are_read(folder):
    settings = json.loads((folder / "config.json").read_text())
    for key in ("id2label", "label2id"):
        del settings[key]
    (folder / "config.json").write_text(json.dumps(settings | {"num_labels": 3}))
    assert read(folder, heads=None).classes == ("class 0", "class 1", "class 2")
    said = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.5, 0.5, 0.25]}
    (folder / "preprocessor_config.json").write_text(json.dumps(said))
    config = read(folder, heads=None).loaded.student.config
    assert config.mean == (127.5, 102.0, 76.5) and config.std == (127.5, 127.5, 63.75)
    (folder / "preprocessor_config.json").write_text("{}")
    assert read(folder, heads=None).loaded.student.config == SegFormerConfig(
        **SIZES, patch_norm_eps=1e-5, block_norm_eps=1e-5
    )


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("config.json", {"num_labels": "3", "id2label": None}, "'num_labels' must be a number"),
        ("config.json", {"num_labels": 300, "id2label": None}, "'num_classes' must be in 1 … 255"),
        ("config.json", {"hidden_sizes": [4, 6, 8, "x"]}, "must list four whole numbers"),
        ("config.json", {"hidden_sizes": [4, 6, 8, 10**12]}, "'channels' must be four numbers"),
        ("config.json", {"decoder_hidden_size": "8"}, "'embed_dim' must be int, not str"),
        ("config.json", {"decoder_hidden_size": None}, "'embed_dim' must be int, not NoneType"),
        ("config.json", {"mlp_ratios": [2.5] * 4}, "must list four whole numbers"),
        ("config.json", {"id2label": {}}, "'id2label' must number the classes"),
        ("preprocessor_config.json", {"image_std": [0, 1, 1]}, "'std' must be three grey levels"),
        ("preprocessor_config.json", {"image_mean": "x"}, "'image_mean' must list three numbers"),
        ("preprocessor_config.json", {"image_mean": None}, "'image_mean' must list three numbers"),
        ("preprocessor_config.json", {"rescale_factor": 0}, "'image_mean' must list three numbers"),
        ("preprocessor_config.json", [], "expected an object"),
    ],
)
def test_json_files_of_a_folder_are_checked(folder, file, content, words):
    path = folder / file
    before = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(before | content if isinstance(content, dict) else content))
    message = refused(folder, heads=None)
    assert words in message and file.removeprefix("preprocessor_") in message


def test_what_is_no_model_folder_says_what_to_name(tmp_path):
    assert "is missing; a Hugging Face model folder has one" in refused(tmp_path)
    (tmp_path / "best.pth").write_bytes(b"x")
    assert f"name the file itself, such as {tmp_path / 'best.pth'}" in refused(tmp_path)
    (tmp_path / "snapshots").mkdir()
    assert "name a folder in its snapshots/" in refused(tmp_path)
    (tmp_path / "student.json").write_text("{}")
    assert "a student of this program already" in refused(tmp_path)


# ---------------------------------------------------------------------------- no weights at all


class Foreign:
    """A class that a pickle may need."""


@pytest.mark.robustness(
    AREA,
    "a pickle with numpy scalars or foreign classes",
    "refused; names the culprit and a command that saves the tensors",
)
@pytest.mark.parametrize(
    ("content", "culprit"),
    [
        ({"state_dict": PUBLISHED, "best": np.float64(0.5)}, "numpy"),
        ({"model_state_dict": PUBLISHED, "config": Foreign()}, "test_foreign"),
        ({"model": PUBLISHED, "args": re.compile("x")}, "re._compile"),
    ],
)
def test_a_pickle_of_more_than_tensors_names_the_culprit(tmp_path, said, content, culprit):
    path = tmp_path / "weights.pth"
    if culprit == "test_foreign":
        sys.modules.setdefault(Foreign.__module__, sys.modules[__name__])
    torch.save(content, path)
    message = said(refused(path))
    assert f"holds {culprit}" in message or f".{culprit}." in message, message
    command = message.partition("save its tensors with: ")[2]
    assert command.startswith('python -c "import torch; ')
    if culprit != "test_foreign":  # that class is only known here
        program = command.removeprefix('python -c "').removesuffix('"')
        subprocess.run([sys.executable, "-c", program], check=True)
        assert_published(read(tmp_path / "weights_tensors.pth"))


@pytest.mark.robustness(AREA, "one flipped or missing byte in `.pth` or `.npz`", "refused by name")
@pytest.mark.parametrize("ending", [".pth", ".npz"])
def test_flipped_bytes_are_refused(tmp_path, said, ending):
    path = tmp_path / f"weights{ending}"
    card = _card()
    weight_files.write(path, WEIGHTS, card)
    whole = path.read_bytes()
    generator = np.random.default_rng(0)
    for place in generator.integers(len(whole), size=12).tolist():
        data = bytearray(whole)
        data[place] ^= 1 << int(generator.integers(8))
        path.write_bytes(data)
        try:
            arrays = next(iter(weight_files.read(path).parts.values()))
        except UserError as error:
            message = said(str(error))
            assert len(message.splitlines()) == 1 and str(path) in message
        else:  # padding between the members
            assert all(np.array_equal(arrays[key], value) for key, value in WEIGHTS.items())


def test_files_that_this_program_wrote_vouch_for_their_arrays(tmp_path):
    path = tmp_path / "weights.safetensors"
    weight_files.write(path, WEIGHTS, _card())
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match="damaged: its arrays are not those"):
        weight_files.read(path)


def _card():
    from ditta_jax.students.card import StudentCard

    return StudentCard(STUDENT.config, ("a", "b", "c"), ((1, 2, 3),) * 3, {})


@pytest.mark.robustness(
    AREA, "a Git LFS pointer, a web page, an empty file, a URL", "named as what it is"
)
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            "only a pointer of Git LFS",
        ),
        (b"<!DOCTYPE html><html>", "is a web page"),
        (b"\n<html><body>", "is a web page"),
        (b"", "it is empty"),
        (b"PK\x03\x04 cut off", "not a"),
        (b"\x80\x02}q\x00.", "not a file torch can read"),
    ],
)
def test_what_downloads_leave_is_named(tmp_path, said, content, words):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    assert words in said(refused(path))


def test_the_ending_does_not_matter_where_the_bytes_speak(tmp_path):
    torch.save(PUBLISHED, tmp_path / "weights.safetensors")
    assert_published(read(tmp_path / "weights.safetensors"))
    np.savez(tmp_path / "weights.npz", **{key: v.numpy() for key, v in PUBLISHED.items()})
    (tmp_path / "weights.npz").rename(tmp_path / "weights.pth")
    assert_published(read(tmp_path / "weights.pth"))


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("nvidia/segformer-b0", "name the downloaded folder"),
        ("https://host/b0.pth", "download it first"),
        ("none.pth", "none.pth: no such file or folder"),
    ],
)
def test_a_source_that_is_not_there(source, words, monkeypatch, tmp_path):
    from pathlib import Path

    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=words):
        read(Path(source))


@pytest.mark.parametrize("pattern", ["(", "*", "[a-"])
def test_a_bad_pattern_is_one_line(pattern, tmp_path):
    torch.save(PUBLISHED, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"--ignore .*: not a regular expression") as caught:
        read(tmp_path / "w.pth", ignore=[pattern])
    assert len(str(caught.value).splitlines()) == 1


def test_ignore_is_named_by_the_message_it_helps(tmp_path):
    torch.save(PUBLISHED | {"decode_head.surprise": torch.ones(1)}, tmp_path / "w.pth")
    message = refused(tmp_path / "w.pth")
    assert "1 left over: decode_head.surprise" in message and "--ignore PATTERN" in message
    assert_published(read(tmp_path / "w.pth", ignore=[r"decode_head\.surprise"]))


@pytest.mark.parametrize("layout", [HUGGINGFACE, HUGGINGFACE_5])
def test_both_generations_of_names_hold_every_weight(layout, model):
    names = {key for weight in weight_layout.expand(layout, STUDENT.config) for key in weight.keys}
    own = {key for key in model.state_dict() if not key.endswith("num_batches_tracked")}
    if layout is HUGGINGFACE_5:
        assert own <= names

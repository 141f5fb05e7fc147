"""Weights in and out: exact round trips, and every kind of wrong file named in one line."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from flax import nnx

from ditta_jax import convert
from ditta_jax.errors import UserError
from ditta_jax.students import checkpoint
from ditta_jax.students.checkpoint import StudentCard
from ditta_jax.students.layouts import (
    foreign,
    huggingface_layout,
    released_layout,
    weight_files,
    weight_layout,
)
from ditta_jax.students.openmmlab.config import OpenMMLabConfig
from ditta_jax.students.segformer.config import SegFormerConfig
from ditta_jax.students.sizes import MEAN, STD
from ditta_jax.students.student import abstract_student, new_student

CONFIG = SegFormerConfig(
    num_classes=3,
    channels=(4, 6, 8, 10),
    depths=(1, 2, 1, 1),
    heads=(1, 2, 4, 5),
    reductions=(4, 2, 1, 1),
    mlp_ratio=2,
    embed_dim=8,
    radius=2,
    block_norm_eps=1e-5,
)
CARD = StudentCard(
    CONFIG, ("road", "car", "sky"), ((1, 2, 3), (4, 5, 6), (7, 8, 9)), {"by": "test"}
)
FLAGS = ["--heads", "1,2,4,5"]


@pytest.fixture(scope="module")
def arrays():
    """A student's weights in the released layout, every value different from its initial one."""
    generator = np.random.default_rng(0)
    plain = weight_layout.dump(released_layout.RELEASED, new_student(CONFIG))
    drawn = {k: generator.normal(size=v.shape).astype(np.float32) for k, v in plain.items()}
    return {k: np.abs(v) if k.endswith("running_var") else v for k, v in drawn.items()}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A checkpoint and the student in it."""
    path = tmp_path_factory.mktemp("checkpoints") / "student"
    student = new_student(CONFIG, seed=4)
    checkpoint.save(path, student, CARD)
    return path, student


@pytest.fixture
def source(arrays, tmp_path):
    """Writes weights, changed by a function, to an .npz file and returns its path."""

    def write(change=lambda weights: weights):
        path = tmp_path / "weights.npz"
        np.savez(path, allow_pickle=False, **change(dict(arrays)))
        return path

    return write


def leaves(student) -> dict:
    """Arrays of a student by path."""
    return {p: np.asarray(v.get_value()) for p, v in nnx.to_flat_state(nnx.state(student))}


def assert_same_student(one, other):
    """Equal configuration and equal bits."""
    assert one.config == other.config
    first, second = leaves(one), leaves(other)
    assert first.keys() == second.keys()
    for path, value in first.items():
        np.testing.assert_array_equal(value, second[path], err_msg=str(path))


@pytest.mark.parametrize("ending", [".npz", ".safetensors", ".pth"])
def test_round_trip_through_files_is_exact(saved, tmp_path, ending, capsys):
    path, student = saved
    convert.main([str(path), str(tmp_path / f"out{ending}"), "--to", "released"])
    convert.main([str(tmp_path / f"out{ending}"), str(tmp_path / "second")])
    back, card = checkpoint.load(tmp_path / "second")
    assert_same_student(student, back)
    assert (card.classes, card.palette) == (CARD.classes, CARD.palette)
    assert "not in the source" not in capsys.readouterr().out


def test_released_arrays_keep_names_values_and_axes(source, arrays, tmp_path):
    convert.main([str(source()), str(tmp_path / "student"), *FLAGS])
    student, _ = checkpoint.load(tmp_path / "student")
    assert student.config.depths == CONFIG.depths
    assert student.config.reductions == CONFIG.reductions
    assert student.config.mlp_ratio == CONFIG.mlp_ratio
    state = leaves(student)
    np.testing.assert_array_equal(
        state["decoder", "linear_2", "kernel"], arrays["decode_head.linear_c2.proj.weight"].T
    )
    np.testing.assert_array_equal(
        state["encoder", "stages", 0, "patch_embed", "proj", "kernel"][2, 5, 1, 3],
        arrays["backbone.patch_embed1.proj.weight"][3, 1, 2, 5],
    )
    np.testing.assert_array_equal(
        state["encoder", "stages", 1, "blocks", 1, "mlp", "dwconv", "kernel"][0, 2, 0, 7],
        arrays["backbone.block2.1.mlp.dwconv.dwconv.weight"][7, 0, 0, 2],
    )
    np.testing.assert_array_equal(
        state["decoder", "projection", "layers", 2, "kernel"][1, 6],
        arrays["decode_head.proj_feat.4.weight"][6, 1, 0, 0],
    )
    again = weight_layout.dump(released_layout.RELEASED, student)
    assert list(again) == list(arrays)
    for key, value in arrays.items():
        np.testing.assert_array_equal(again[key], value, err_msg=key)


def test_mmsegmentation_checkpoint(arrays, tmp_path, capsys):
    torch = pytest.importorskip("torch")
    state = {f"module.{key}": torch.from_numpy(value) for key, value in arrays.items()}
    state["module.decode_head.conv_seg.weight"] = torch.zeros(3, 8, 1, 1)
    state["module.decode_head.linear_fuse.bn.num_batches_tracked"] = torch.tensor(7)
    state["module.auxiliary_head.convs.0.weight"] = torch.zeros(2)
    meta = {"CLASSES": ("a", "b", "c"), "PALETTE": [[0, 1, 2], [3, 4, 5], [6, 7, 8]], "epoch": 3}
    torch.save({"state_dict": state, "meta": meta}, tmp_path / "mmseg.pth")
    convert.main([str(tmp_path / "mmseg.pth"), str(tmp_path / "student"), *FLAGS])
    student, card = checkpoint.load(tmp_path / "student")
    assert card.classes == ("a", "b", "c")
    assert card.palette == ((0, 1, 2), (3, 4, 5), (6, 7, 8))
    for key, value in weight_layout.dump(released_layout.RELEASED, student).items():
        np.testing.assert_array_equal(value, arrays[key], err_msg=key)
    said = capsys.readouterr().out
    for key in ("conv_seg.weight", "num_batches_tracked", "auxiliary_head.convs.0.weight"):
        assert key in said


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_float_types_become_float32(arrays, tmp_path, dtype):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    kind = getattr(torch, dtype)
    state = {key: torch.from_numpy(value).to(kind) for key, value in arrays.items()}
    save_file(state, tmp_path / "w.safetensors")
    torch.save(state, tmp_path / "w.pth")
    for name in ("w.safetensors", "w.pth"):
        loaded = foreign.read(tmp_path / name, heads=CONFIG.heads).loaded
        written = weight_layout.dump(released_layout.RELEASED, loaded.student)
        for key, value in state.items():
            assert written[key].dtype == np.float32
            np.testing.assert_array_equal(written[key], value.float().numpy(), err_msg=key)


def without(*words):
    """A change that drops every key holding one of `words`."""
    return lambda weights: {k: v for k, v in weights.items() if not any(w in k for w in words)}


def test_absent_additions_are_drawn_as_torch_does(source, tmp_path, capsys):
    path = source(without("query_layer", "key_layer", "proj_feat"))
    students = []
    for seed in ("3", "3", "4"):
        convert.main([str(path), str(tmp_path / "student"), *FLAGS, "--seed", seed])
        students.append(leaves(checkpoint.load(tmp_path / "student")[0]))
    said = capsys.readouterr().out
    assert "temporal fusion: not in the source; fresh weights" in said
    assert "projection: not in the source; fresh weights" in said
    bound = CONFIG.embed_dim**-0.5
    for place in (("fusion", "key", "layers", 1), ("decoder", "projection", "layers", 0)):
        kernels = [s[*place, "kernel"] for s in students]
        np.testing.assert_array_equal(kernels[0], kernels[1])
        assert not np.array_equal(kernels[0], kernels[2])
        for name in ("kernel", "bias"):
            value = students[0][*place, name]
            assert np.abs(value).max() <= bound
            assert np.abs(value).max() > 0.5 * bound
    different = [p for p in students[0] if not np.array_equal(students[0][p], students[2][p])]
    assert {p[:2] for p in different} == {
        ("fusion", "query"),
        ("fusion", "key"),
        ("decoder", "projection"),
    }


def test_every_wrong_key_is_named_at_once(source, tmp_path):
    def damage(weights):
        del weights["backbone.block2.1.attn.kv.bias"]
        del weights["decode_head.proj_feat.2.weight"]  # a group that is there in part only
        weights["decode_head.linear_c3.proj.weight"] = np.zeros((8, 9), np.float32)
        weights["decode_head.linear_pred.bias"] = np.full(3, np.nan, np.float32)
        weights["decode_head.surprise.weight"] = np.zeros(1, np.float32)
        return weights

    with pytest.raises(UserError) as caught:
        convert.main([str(source(damage)), str(tmp_path / "student"), *FLAGS])
    message = str(caught.value)
    assert "2 missing: backbone.block2.1.attn.kv.bias, decode_head.proj_feat.2.weight" in message
    assert "1 left over: decode_head.surprise.weight" in message
    assert "1 misshapen: decode_head.linear_c3.proj.weight is (8, 9), expected (8, 8)" in message
    assert "1 broken: decode_head.linear_pred.bias (not finite)" in message
    assert not (tmp_path / "student").exists()


def test_left_over_keys_can_be_left_out_on_request(source, tmp_path, capsys):
    def extend(weights):
        return weights | {"decode_head.focal.weight": np.zeros(1, np.float32)}

    ignore = ["--ignore", r"decode_head\.focal\..*"]
    convert.main([str(source(extend)), str(tmp_path / "student"), *FLAGS, *ignore])
    assert "decode_head.focal.weight (left out on request)" in capsys.readouterr().out


def test_a_missing_middle_block_is_missed(source, tmp_path):
    with pytest.raises(UserError, match=r"\d+ missing: backbone.block2.0.norm1.weight"):
        convert.main([str(source(without("block2.0."))), str(tmp_path / "student"), *FLAGS])


def test_heads_that_do_not_divide_are_refused(source, tmp_path):
    with pytest.raises(UserError, match="cannot be split over heads .*--heads"):
        convert.main([str(source()), str(tmp_path / "student")])


@pytest.mark.parametrize("as_file", [False, True])
def test_class_names_on_request(source, tmp_path, as_file):
    names = "wall,floor,door"
    if as_file:
        (tmp_path / "names.txt").write_text(names.replace(",", "\n") + "\n")
        names = str(tmp_path / "names.txt")
    convert.main([str(source()), str(tmp_path / "student"), *FLAGS, "--classes", names])
    assert checkpoint.load(tmp_path / "student")[1].classes == ("wall", "floor", "door")
    with pytest.raises(UserError, match="names 2 classes, the weights have 3"):
        convert.main([str(source()), str(tmp_path / "student"), *FLAGS, "--classes", "a,b"])


@pytest.mark.parametrize("ending", [".npz", ".safetensors", ".pth"])
def test_truncated_files_are_named(arrays, tmp_path, ending):
    path = tmp_path / f"out{ending}"
    weight_files.write(path, arrays, CARD)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match=f"out{ending}: not a"):
        convert.main([str(path), str(tmp_path / "second")])


def test_files_that_are_something_else(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({"state_dict": {"a": 1}}, tmp_path / "numbers.pth")
    torch.save({"a": StudentCard}, tmp_path / "code.pth")
    (tmp_path / "weights.txt").write_text("no weights")
    for name, message in {
        "list.pth": "expected a state dict, not list",
        "numbers.pth": "not tensors: state_dict.a",
        "code.pth": "weights_only=True",
        "weights.txt": "expected a file ending in",
        "nowhere.pth": "no such file",
    }.items():
        with pytest.raises(UserError, match=message):
            convert.main([str(tmp_path / name), str(tmp_path / "student")])


def test_without_torch_the_message_says_so(monkeypatch, tmp_path):
    (tmp_path / "weights.pth").write_bytes(b"anything")
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(UserError, match="need torch, which is not installed"):
        convert.main([str(tmp_path / "weights.pth"), str(tmp_path / "student")])


@pytest.mark.parametrize("size", ["B0", "B5"])
@pytest.mark.parametrize("layout", [released_layout.RELEASED, huggingface_layout.HUGGINGFACE])
def test_tables_cover_published_sizes(size, layout):
    config = SegFormerConfig.published(size, num_classes=124)
    table = weight_layout.expand(layout, config)
    paths = {path for path, _ in nnx.to_flat_state(nnx.state(abstract_student(config)))}
    assert {weight.path for weight in table} == paths
    keys = [key for weight in table for key in weight.keys]
    assert len(set(keys)) == len(keys)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A random SegFormer, saved by transformers."""
    transformers = pytest.importorskip("transformers")
    config = transformers.SegformerConfig(
        hidden_sizes=list(CONFIG.channels),
        depths=list(CONFIG.depths),
        num_attention_heads=list(CONFIG.heads),
        sr_ratios=list(CONFIG.reductions),
        mlp_ratios=[2] * 4,
        decoder_hidden_size=8,
        id2label={0: "road", 1: "car", 2: "sky"},
    )
    path = tmp_path_factory.mktemp("hf") / "segformer"
    transformers.SegformerForSemanticSegmentation(config).save_pretrained(path)
    return path


def test_sizes_names_and_values(folder, tmp_path, capsys):
    from safetensors.numpy import load_file

    convert.main([str(folder), str(tmp_path / "student")])
    assert "temporal fusion: not in the source" in capsys.readouterr().out
    student, card = checkpoint.load(tmp_path / "student")
    assert card.classes == ("road", "car", "sky")
    assert (student.config.channels, student.config.heads) == (CONFIG.channels, CONFIG.heads)
    assert (student.config.mlp_ratio, student.config.embed_dim) == (2, 8)
    there, state = load_file(folder / "model.safetensors"), leaves(student)
    kernel = state["encoder", "stages", 1, "blocks", 1, "attn", "kv", "kernel"]
    attention = "segformer.encoder.block.1.1.attention.self"
    np.testing.assert_array_equal(kernel[:, :6], there[f"{attention}.key.weight"].T)
    np.testing.assert_array_equal(kernel[:, 6:], there[f"{attention}.value.weight"].T)
    written = weight_layout.dump(huggingface_layout.HUGGINGFACE, student)
    assert {k for k in there if not k.endswith("num_batches_tracked")} <= written.keys()
    for key in there.keys() & written.keys():
        np.testing.assert_array_equal(there[key], written[key], err_msg=key)


def test_weights_saved_by_torch(folder, tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file

    older = tmp_path / "older"
    older.mkdir()
    shutil.copy(folder / "config.json", older)
    torch.save(load_file(folder / "model.safetensors"), older / "pytorch_model.bin")
    first, second = (foreign.read(f).loaded.student for f in (folder, older))
    assert_same_student(first, second)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("model_type", "bert", "'model_type' must be"),
        ("hidden_act", "relu", "'hidden_act' is relu; a student has gelu"),
        ("depths", [1, 2, 1], "'depths' must list four numbers"),
        ("mlp_ratios", [4, 4, 4, 2], "'mlp_ratios' differ"),
        ("id2label", {"0": "a", "2": "b"}, "without gaps"),
        ("id2label", ["a"], "must map class numbers"),
        ("depths", [1, 2, 1, 2], r"\d+ missing: segformer.encoder.block.3.1"),
        ("hidden_sizes", [4, 6, 8, 20], "misshapen"),
    ],
)
def test_wrong_settings_are_named(folder, tmp_path, key, value, message):
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    settings = json.loads((folder / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps(settings | {key: value}))
    with pytest.raises(UserError, match=message):
        convert.main([str(broken), str(tmp_path / "student")])


def test_missing_and_broken_files_are_named(folder, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UserError, match=r"config\.json is missing"):
        convert.main([str(empty), str(tmp_path / "student")])
    (empty / "config.json").write_text("{")
    with pytest.raises(UserError, match="not readable JSON"):
        convert.main([str(empty), str(tmp_path / "student")])
    shutil.copy(folder / "config.json", empty)
    with pytest.raises(UserError, match="neither model.safetensors nor pytorch_model.bin"):
        convert.main([str(empty), str(tmp_path / "student")])
    with pytest.raises(UserError, match=r"--heads is for other layouts"):
        convert.main([str(folder), str(tmp_path / "student"), *FLAGS])


# ---------------------------------------------------------------------------- Hugging Face, out


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A checkpoint with the eps that transformers computes with, and a normalisation of its own."""
    config = dataclasses.replace(CONFIG, mean=(127.5, 100.0, 80.0), std=(60.0, 61.5, 50.25))
    student = new_student(config, seed=5)
    path = tmp_path_factory.mktemp("own") / "student"
    checkpoint.save(path, student, CARD._replace(config=config))
    return path, student


@pytest.mark.parametrize(("to", "place"), [("huggingface", "folder"), ("released", "out.npz")])
def test_what_goes_out_comes_back_equal(own, tmp_path, to, place):
    path, student = own
    for _ in range(2):  # an earlier one of ours is replaced
        convert.main([str(path), str(tmp_path / place), "--to", to])
    convert.main([str(tmp_path / place), str(tmp_path / "back")])
    back, card = checkpoint.load(tmp_path / "back")
    assert_same_student(student, back)
    assert (card.classes, card.palette) == (CARD.classes, CARD.palette)


def test_transformers_reads_the_folder_and_computes_the_same(own, tmp_path, capsys):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    path, student = own
    convert.main([str(path), str(tmp_path / "folder"), "--to", "huggingface"])
    assert "results differ a little" in capsys.readouterr().out or CONFIG.block_norm_eps == 1e-5
    model = transformers.SegformerForSemanticSegmentation.from_pretrained(tmp_path / "folder")
    assert model.config.id2label == {0: "road", 1: "car", 2: "sky"}
    grey = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3)).astype(np.float64)
    usual, own_input = (
        ((grey - mean) / std).astype(np.float32)
        for mean, std in ((MEAN, STD), (student.config.mean, student.config.std))
    )
    with torch.no_grad():
        there = model.eval()(torch.from_numpy(own_input).permute(0, 3, 1, 2)).logits
    here = student.classify(student.embed(student.encode(usual)))
    np.testing.assert_allclose(here, there.permute(0, 2, 3, 1).numpy(), atol=2e-5)
    said = json.loads((tmp_path / "folder" / "preprocessor_config.json").read_text())
    mean = np.array(said["image_mean"]) / said["rescale_factor"]
    np.testing.assert_allclose(mean, student.config.mean)


def test_a_folder_with_other_files_is_not_replaced(own, tmp_path):
    place = tmp_path / "folder"
    place.mkdir()
    (place / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"config\.json, which this program did not write"):
        convert.main([str(own[0]), str(place), "--to", "huggingface"])
    assert (place / "config.json").read_text() == "{}"


def test_another_decoder_goes_into_no_other_layout(tmp_path):
    config = OpenMMLabConfig(**{**dataclasses.asdict(CONFIG), "block_norm_eps": 1e-6})
    checkpoint.save(tmp_path / "student", new_student(config), CARD._replace(config=config))
    for to, place in (("released", "out.npz"), ("huggingface", "folder")):
        with pytest.raises(UserError, match=f"--to {to} is for SegFormers"):
            convert.main([str(tmp_path / "student"), str(tmp_path / place), "--to", to])
        assert not (tmp_path / place).exists()


def test_names_that_a_student_cannot_have_are_made_distinct(source, tmp_path, capsys):
    path = tmp_path / "w.npz"
    meta = json.dumps({"CLASSES": ["road", "road", ""], "student": {"heads": [1, 2, 4, 5]}})
    np.savez(path, **np.load(source()), ditta_jax=meta)
    convert.main([str(path), str(tmp_path / "student")])
    assert "the source names no classes" not in capsys.readouterr().out
    assert checkpoint.load(tmp_path / "student")[1].classes == ("road", "road (2)", "class 2")


def test_heads_are_numbers(capsys):
    with pytest.raises(SystemExit):
        convert.main(["a", "b", "--heads", "1,two"])
    assert "'1,two' is not like 1,2,5,8" in capsys.readouterr().err

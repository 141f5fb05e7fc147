"""ESPNetv2 equals plain torch, is read with its published weights, adapts and is kept."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ditta_jax import convert
from ditta_jax.algorithm import adaptation, inference
from ditta_jax.algorithm.adaptation import AdaptationSettings, TaughtFrames
from ditta_jax.algorithm.optimiser import Hyperparameters
from ditta_jax.data.class_tables import class_names, class_palette
from ditta_jax.errors import UserError
from ditta_jax.students import checkpoint
from ditta_jax.students.espnetv2.config import ESPNetv2Config
from ditta_jax.students.layouts import foreign, weight_layout
from ditta_jax.students.layouts.espnetv2_layout import ESPNETV2
from ditta_jax.students.parts import join_student, split_student
from ditta_jax.students.student import new_student

torch = pytest.importorskip("torch")

from tests.students.espnetv2.torch_reference import Network  # noqa: E402  (it imports torch)

# Groups of several inputs, of several outputs, and maps smaller than the smallest scale's.
CONFIG = ESPNetv2Config(3, (16, 32, 48, 64), (1, 2), (12, 8, 4), embed_dim=3, radius=1)
INNER, SIZE, T, O = (32, 64), (30, 60), 2, 2
PUBLISHED = "models/espnetv2_s_2.0_city_1024x512.pth"
ADDED = ("decode_head.query", "decode_head.key", "decode_head.proj")


@pytest.fixture(scope="module")
def state():
    """Weights of a student in its layout, as torch tensors; every one drawn."""
    random = np.random.default_rng(0)
    drawn = {}
    for key, value in weight_layout.dump(ESPNETV2, new_student(CONFIG)).items():
        own = random.normal(size=value.shape)
        if key.endswith(("running_var", "bn.weight")) or (value.ndim == 1 and "bias" not in key):
            own = np.abs(own) + 0.5
        if value.ndim == 4:
            own *= np.prod(value.shape[1:]) ** -0.5
        drawn[key] = torch.from_numpy(own.astype(np.float32))
    return {key: value for key, value in drawn.items() if not key.startswith(ADDED)}


@pytest.fixture(scope="module")
def student(state):
    arrays = {key: value.numpy() for key, value in state.items()}
    return weight_layout.load(ESPNETV2, CONFIG, arrays, "test").student


def images(size, frames=2):
    return np.random.default_rng(1).normal(size=(frames, *size, 3)).astype(np.float32)


def last(x):
    """Channels last, of a torch tensor."""
    return x.detach().permute(0, 2, 3, 1).numpy()


def test_embedding_and_logits_equal_torchs(state, student):
    frames = images(INNER)
    f, z = Network(state).forward(torch.from_numpy(frames).permute(0, 3, 1, 2))
    for ours, theirs in zip(_forward(student, frames), (f, z), strict=True):
        assert ours.shape[1:3] == (INNER[0] // 2, INNER[1] // 2)
        scale = np.abs(last(theirs)).max()
        np.testing.assert_allclose(ours, last(theirs), rtol=0, atol=2e-5 * scale)


def _forward(student, frames):
    """Embedding and logits, in one program."""
    network, graph, encoder = split_student(student, "all")

    @jax.jit
    def run(network, frames):
        own = join_student(graph, encoder, network)
        f = own.embed(own.encode(frames))
        return f, own.classify(f)

    return run(network, jnp.asarray(frames))


def test_published_weights_give_torchs_logits(shared_dir):
    path = shared_dir / PUBLISHED
    found = foreign.read(path)
    assert found.layout == "ESPNetv2" and found.loaded.student.config == ESPNetv2Config(19)
    assert found.loaded.fresh == ["projection", "temporal fusion"]
    frames = images((64, 96), 1)
    published = torch.load(path, map_location="cpu", weights_only=True)
    _, z = Network(published).forward(torch.from_numpy(frames).permute(0, 3, 1, 2))
    ours, theirs = _forward(found.loaded.student, frames)[1], last(z)[..., :19]
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=5e-6 * np.abs(theirs).max())


# ---------------------------------------------------------------------------- conversion


def test_cityscapes_head_is_converted_without_its_output_for_no_label(state, tmp_path, capsys):
    head = "bu_dec_l4.merge_layer.3"
    classifier = {f"{head}.weight": torch.rand(20, 3, 1, 1), f"{head}.bias": torch.rand(20)}
    counter = {"base_net.level1.bn.num_batches_tracked": torch.tensor(5)}
    unused = {"base_net.level2_0.eesp.module_act.weight": torch.ones(16)}
    torch.save(state | classifier | counter | unused, tmp_path / "espnetv2.pth")
    convert.main([str(tmp_path / n) for n in ("espnetv2.pth", "own")] + ["--classes", "cityscapes"])
    said = capsys.readouterr().out
    assert "19 classes" in said and "from the ESPNetv2 layout" in said and "20th output" in said
    own, card = checkpoint.load(tmp_path / "own")
    assert card.config.num_classes == 19 and card.classes == class_names("cityscapes")
    assert card.palette == class_palette("cityscapes")
    kernel = classifier[f"{head}.weight"][:19, :, 0, 0].numpy().T
    np.testing.assert_array_equal(own.decoder.classifier.kernel[...], kernel)


def test_other_numbers_of_classes_are_kept(state, tmp_path):
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "own.pth")
    found = foreign.read(tmp_path / "own.pth")
    assert found.loaded.student.config == dataclasses.replace(CONFIG, radius=5)
    arrays = weight_layout.dump(ESPNETV2, found.loaded.student)
    for key, value in state.items():
        np.testing.assert_array_equal(arrays[key], value.numpy(), err_msg=key)


WRONG = {
    "a unit is cut off": (
        lambda s: s.pop("base_net.level4.1.conv_1x1_exp.conv.weight"),
        "1 missing: base_net.level4.1.conv_1x1_exp.conv.weight",
    ),
    "no embedding": (
        lambda s: s.pop("bu_dec_l4.projection_layer.cbr.0.weight"),
        "no kernel 'bu_dec_l4.projection_layer.cbr.0.weight'",
    ),
    "a level is narrower": (
        lambda s: s.update({"base_net.level3_0.inp_reinf.1.conv.weight": torch.ones(16, 3, 1, 1)}),
        "'channels' (16, 32, 16, 64) must grow from level to level, by multiples of 16",
    ),
    "something more": (
        lambda s: s.update({"bu_dec_l5.x": torch.ones(1)}),
        "1 left over: bu_dec_l5",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_weights_that_do_not_fit_are_named(state, tmp_path, case):
    change, words = WRONG[case]
    own = dict(state)
    change(own)
    torch.save(own, tmp_path / "own.pth")
    with pytest.raises(UserError) as caught:
        foreign.read(tmp_path / "own.pth")
    assert words in str(caught.value) and len(str(caught.value).splitlines()) == 1


def test_heads_are_refused(state, tmp_path):
    torch.save(state, tmp_path / "own.pth")
    with pytest.raises(UserError, match="ESPNetv2, which has no attention"):
        foreign.read(tmp_path / "own.pth", heads=(1, 2, 5, 8))


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"depths": (3,)}, "'depths' must be two numbers in 1 … 256, of levels 3 and 4"),
        ({"channels": (32, 128, 256, 510)}, "by multiples of 16"),
        ({"widths": (64, 48, 0)}, "'widths' must be three numbers in 1 … 8192"),
    ],
)
def test_sizes_that_no_student_has_are_refused(sizes, words):
    with pytest.raises(UserError) as caught:
        ESPNetv2Config(19, **sizes)
    assert words in str(caught.value)


# ---------------------------------------------------------------------------- adaptation


def test_it_goes_through_the_adaptation_with_all_its_statistics(student):
    """Shapes only: on a CPU the program takes a minute to compile."""
    network, graph, encoder = split_student(student, "decoder")
    assert set(network.params) == {"decoder", "fusion"} and set(network.statistics) == {"decoder"}
    # 3 normalisations in each of 4 poolings, 3 between each two of them; mean and variance
    assert len(jax.tree.leaves(network.statistics)) == 2 * (3 * 4 + 3 * 3)

    def run(network, frames, labels, ids):
        features = inference.encode(graph, encoder, network, frames)
        warm_up = TaughtFrames(features, labels, ids, jnp.ones(T, bool))
        state = adaptation.new_state(network, O, jax.random.key(0), "decoder")
        settings = AdaptationSettings(INNER, "decoder")
        return adaptation.adapt(state, graph, encoder, warm_up, Hyperparameters(), settings, 2)

    maps = jax.ShapeDtypeStruct((T, *SIZE), jnp.uint8)
    frames = jax.ShapeDtypeStruct((T, *INNER, 3), jnp.float32)
    state, losses = jax.eval_shape(run, network, frames, maps, maps)
    for own in (state.live, state.momentum):
        assert jax.tree.map(jnp.shape, own) == jax.tree.map(jnp.shape, network)
    assert losses.total.shape == (2 * T,)


def test_it_is_kept_in_a_checkpoint(student, tmp_path):
    card = checkpoint.StudentCard(CONFIG, ("a", "b", "c"), ((0, 0, 0),) * 3, {})
    checkpoint.save(tmp_path / "kept", student, card)
    again, found = checkpoint.load(tmp_path / "kept")
    assert found.config == CONFIG and type(found.config) is ESPNetv2Config
    assert checkpoint.fingerprint(again) == checkpoint.fingerprint(student)

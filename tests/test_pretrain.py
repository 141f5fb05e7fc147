import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ditta_jax import pretrain
from ditta_jax.algorithm.pretraining import loss_of_clips
from ditta_jax.configuration import default_config
from ditta_jax.errors import UserError
from ditta_jax.files import parse_json
from ditta_jax.runs.training_log import TrainingLog
from ditta_jax.students.layouts import weight_layout
from ditta_jax.students.layouts.released_layout import RELEASED
from ditta_jax.students.parts import join_student, split_student
from ditta_jax.students.resize import bilinear
from ditta_jax.students.segformer.config import SegFormerConfig
from ditta_jax.students.start import start_from

STEPS, KILLED = 24, 13
CLASSES = 2
TINY = SegFormerConfig(
    CLASSES, (4, 4, 8, 8), (1, 1, 1, 1), (1, 1, 2, 2), (8, 4, 2, 1), 1, embed_dim=8, radius=1
)
MAKE_OPTIMISER = pretrain.make_optimiser


def pictures():
    """Bright and dark halves at random places; the class is the brightness."""
    random = np.random.default_rng(0)
    pairs = []
    for _ in range(4):
        label = np.zeros((48, 48), np.uint8)
        label[:, random.integers(12, 36) :] = 1
        noise = random.integers(0, 40, (48, 48, 3))
        frame = (label[..., None] * 180 + noise).astype(np.uint8)
        label[:4] = 255
        pairs.append((frame, label))
    return pairs


@pytest.fixture(scope="module")
def config():
    config = default_config()
    config.data.kind = "folder"
    config.train.update(
        channels=(4, 4, 8, 8),
        depths=(1, 1, 1, 1),
        heads=(1, 1, 2, 2),
        embed_dim=8,
        crop=(32, 32),
        batch_size=2,
        steps=STEPS,
        warmup_steps=2,
        lr=2e-2,
        checkpoint_every=5,
        log_every=1,
    )
    return config


@pytest.fixture(scope="module", autouse=True)
def one_optimiser(config):
    """One object for all trainings of this file: the step is compiled once."""
    optimiser = pretrain.make_optimiser(config.train)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretrain, "make_optimiser", lambda train: optimiser)
        yield


@pytest.fixture(scope="module")
def trained(config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    student, steps = pretrain.fit(config, pictures(), CLASSES, folder)
    return student, steps, folder


def test_weight_decay_spares_norms_and_biases(config, one_optimiser):
    """Without gradient only the decay moves a weight."""
    params = {"kernel": np.ones((2, 2), np.float32), "bias": np.ones(2, np.float32)}
    optimiser = pretrain.make_optimiser(config.train)
    state = optimiser.init(params)
    gradient = jax.tree.map(np.zeros_like, params)
    with jax.numpy_dtype_promotion("standard"):  # optax raises numbers to its count of steps
        for _ in range(2):  # the first step of the warm-up has a rate of 0
            updates, state = optimiser.update(gradient, state, params)
    assert (np.asarray(updates["kernel"]) < 0).all() and (np.asarray(updates["bias"]) == 0).all()


def test_a_training_starts_from_the_encoder_of_another_program(config, tmp_path):
    source = pretrain._start(config, CLASSES)
    encoder = {
        key.removeprefix("backbone."): value
        for key, value in weight_layout.dump(RELEASED, source).items()
        if key.startswith("backbone.")
    }
    np.savez(tmp_path / "mit.npz", allow_pickle=False, **encoder)
    changed = config.copy_and_resolve_references()
    changed.seed += 1
    changed.train.initial_checkpoint = str(tmp_path / "mit.npz")
    expected, started = weights(source), weights(pretrain._start(changed, CLASSES))
    for name, value in started.items():
        same = "encoder" in name or np.ptp(value) == 0  # norms and running statistics
        assert np.array_equal(value, expected[name]) == same, name
    changed.train.initial_checkpoint = str(tmp_path / "none.pth")
    with pytest.raises(UserError, match="none.pth: no such file or folder"):
        pretrain._start(changed, CLASSES)


def weights(student):
    network, _, _ = split_student(student, "all")
    return {
        jax.tree_util.keystr(path): np.asarray(leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(network)
    }


def log_of(folder):
    return [json.loads(line) for line in (folder / "training.jsonl").read_text().splitlines()]


def test_the_loss_falls_on_pictures_seen_again_and_again(trained):
    rows = log_of(trained[2])
    losses = [row["loss"] for row in rows]
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1)) and trained[1] == STEPS
    assert np.mean(losses[-6:]) < 0.7 * np.mean(losses[:3])


def test_projection_and_fusion_keep_their_fresh_weights(config, trained):
    fresh, after = weights(pretrain._start(config, CLASSES)), weights(trained[0])
    for name, value in fresh.items():
        kept = "projection" in name or "fusion" in name
        if kept or "kernel" in name:  # some biases have no gradient at this size
            assert np.array_equal(after[name], value) == kept, name


def test_an_interrupted_training_ends_where_an_uninterrupted_one_does(
    config, trained, tmp_path, monkeypatch, capsys
):
    step = TrainingLog.step

    def killed(log, number, loss):
        step(log, number, loss)
        if number == KILLED:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(TrainingLog, "step", killed)
        with pytest.raises(KeyboardInterrupt):
            pretrain.fit(config, pictures(), CLASSES, tmp_path)
    with open(tmp_path / "training.jsonl", "a") as file:
        file.write('{"step": 14, "lo')  # the program was killed here
    student, steps = pretrain.fit(config, pictures(), CLASSES, tmp_path)
    assert [row["step"] for row in log_of(tmp_path)] == list(range(1, STEPS + 1))
    assert "going on from step 10" in capsys.readouterr().out and steps == STEPS
    expected = weights(trained[0])
    for name, value in weights(student).items():
        assert value.tobytes() == expected[name].tobytes(), name


def test_a_finished_training_is_not_repeated(config, trained, capsys):
    student, steps = pretrain.fit(config, pictures(), CLASSES, trained[2])
    assert f"going on from step {STEPS}" in capsys.readouterr().out and steps == STEPS
    assert len(log_of(trained[2])) == STEPS
    assert weights(student).keys() == weights(trained[0]).keys()


def test_a_checkpoint_of_another_student_is_refused(config, trained):
    other = config.copy_and_resolve_references()
    other.train.embed_dim = 12
    with pytest.raises(UserError, match="a training with other settings"):
        pretrain.fit(other, pictures(), CLASSES, trained[2])


@pytest.mark.parametrize(("key", "value"), [("lr", 1e-3), ("dropout", 0.3), ("crop", (64, 64))])
def test_a_training_does_not_go_on_under_other_settings(config, trained, key, value):
    other = config.copy_and_resolve_references()
    other.train[key] = value
    with pytest.raises(UserError, match="a training with other settings; change `name`"):
        pretrain.fit(other, pictures(), CLASSES, trained[2])


def test_a_training_of_the_first_version_goes_on(config, trained):
    file = trained[2] / "architecture.json"
    noted = json.loads(file.read_text())
    del noted["training"]
    file.write_text(json.dumps(noted))
    pretrain.fit(config, pictures(), CLASSES, trained[2])
    assert "training" in json.loads(file.read_text())


@pytest.mark.robustness(
    "Run folders", "`pretrain` under the name of something else", "refused before any work"
)
@pytest.mark.parametrize("file", ["thesis.tex", "student/notes.txt", "config.json"])
def test_a_folder_of_something_else_is_refused(tmp_path, said, file):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("mine")
    with pytest.raises(UserError, match="did not write there") as caught:
        pretrain._refuse_foreign(tmp_path)
    assert str(tmp_path) in said(str(caught.value))


def test_a_trained_student_starts_another_one_with_fresh_classes(config, trained, tmp_path):
    from ditta_jax.students import checkpoint

    student = trained[0]
    names, colours = ("a", "b"), ((0, 0, 0), (1, 1, 1))
    card = checkpoint.StudentCard(student.config, names, colours, {})
    checkpoint.save(tmp_path / "student", student, card)
    same = weights(start_from(str(tmp_path / "student"), CLASSES, 8, None, seed=0))
    more = weights(start_from(str(tmp_path / "student"), 5, 8, None, seed=0))
    for name, value in weights(student).items():
        np.testing.assert_array_equal(same[name], value)
        if "classifier" in name:
            assert more[name].shape[-1] == 5
        else:
            np.testing.assert_array_equal(more[name], value)


# ---------------------------------------------------------------------------- clips


def moving_pictures():
    """Clips: the same picture, one grey level darker before."""
    return [(frame - np.minimum(frame, 1), frame, label) for frame, label in pictures()]


def test_the_loss_of_clips_is_that_of_both_branches():
    """Clip by clip, by the student's own parts, the cross entropy in numpy and float64."""
    network, graph, rest = split_student(pretrain.new_student(TINY), "all")
    random = np.random.default_rng(1)
    frames = random.normal(size=(2, 2, 32, 32, 3)).astype(np.float32)
    labels = random.integers(0, CLASSES, (2, 32, 32), np.uint8)
    labels[0, :7] = 255

    @jax.jit
    def loss(network):
        student = join_student(graph, rest, network)
        return loss_of_clips(student, frames, labels, jax.random.key(0), 0.0, 0.0)

    @jax.jit
    def branches(network):
        student, weight = join_student(graph, rest, network), jnp.ones(4)
        f = student.embed(student.encode(frames.reshape(4, 32, 32, 3), weight=weight), weight)
        z = student.classify(f)
        fused = [student.fusion(f[i + 1], f[i], z[i]) for i in (0, 2)]
        return [bilinear(x, (32, 32)) for x in (z[1::2], jnp.stack(fused))]

    expected = 0.0
    for branch in np.asarray(branches(network), np.float64):
        log_p = branch - np.log(np.exp(branch).sum(-1, keepdims=True))
        valid = labels != 255
        picked = np.take_along_axis(log_p, np.where(valid, labels, 0)[..., None], -1)[..., 0]
        expected -= picked[valid].mean()
    assert float(loss(network)) == pytest.approx(expected, rel=1e-5)


def test_the_fusion_learns_from_clips_only(config, trained, tmp_path):
    own = config.copy_and_resolve_references()
    own.train.update(clips=True, steps=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretrain, "make_optimiser", MAKE_OPTIMISER)
        student, _ = pretrain.fit(own, moving_pictures(), CLASSES, tmp_path)
    fresh = weights(pretrain._start(config, CLASSES))
    by_clips, by_stills = weights(student), weights(trained[0])
    for name, before in fresh.items():
        if "fusion" in name and "kernel" in name:  # a key's bias has no gradient
            assert (by_clips[name] != before).any(), name
            np.testing.assert_array_equal(by_stills[name], before)
        elif "projection" in name:
            np.testing.assert_array_equal(by_clips[name], before)
    assert pretrain._source(own, 3)["fusion"] == "trained"
    assert "fusion" not in pretrain._source(config, 3)


# ---------------------------------------------------------------------------- what goes wrong


@pytest.mark.robustness(
    "Student weights",
    "a training whose loss or weights are not finite any more",
    "ends there with the step; no student, no further checkpoint",
)
@pytest.mark.parametrize(("after", "words"), [(3, "the loss of step 4"), (STEPS - 1, "after step")])
def test_a_training_that_goes_astray_ends(config, tmp_path, monkeypatch, said, after, words):
    """From a step on the weights are NaN; of the last one the loss does not show it."""
    one = pretrain.train_step

    def astray(state, *batch, **rest):
        state, loss = one(state, *batch, **rest)
        if int(state.step) > after:
            network = jax.tree.map(lambda x: x * jnp.nan, state.network)
            state = state._replace(network=network)
        return state, loss

    monkeypatch.setattr(pretrain, "train_step", astray)
    with pytest.raises(UserError) as error:
        pretrain.fit(config, pictures(), CLASSES, tmp_path)
    assert "not finite" in said(str(error.value)) and "train.lr" in str(error.value)
    for line in (tmp_path / "training.jsonl").read_text().splitlines():
        assert parse_json(line.encode())["loss"] > 0
    kept = [int(p.name) for p in (tmp_path / "training").iterdir() if p.name.isdigit()]
    assert all(step <= after for step in kept)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"train.paths": ("a", "b")}, "train.paths: goes with data.kind=folder, not 'tfds'"),
        ({"train.validation_split": "nothing"}, "nothing"),
    ],
)
def test_what_would_be_noticed_after_the_training_is_refused_before(
    tmp_path, monkeypatch, changes, words
):
    config = default_config()
    config.output = str(tmp_path / "runs")
    config.data.update(builder="procedural_drive/tiny", data_dir=str(tmp_path / "tfds"))
    config.update_from_flattened_dict(changes)
    monkeypatch.setattr(pretrain, "from_command_line", lambda program: (config, {}))
    with pytest.raises(UserError, match=words):
        pretrain.main()
    assert not (tmp_path / "runs").exists()

"""Start values, schedule, unrolling, averaging of weights, saving and resuming."""

from itertools import pairwise

import numpy as np
import pytest
import torch

pytest.importorskip("sam2")
pytest.importorskip("skimage")

from teacher_bridge.nano.build import WEIGHTS, build_nano_predictor, read_weights
from teacher_bridge.nano.training import limits, train
from teacher_bridge.nano.training.batches import ClipPool
from teacher_bridge.nano.training.clips import make_clip
from teacher_bridge.nano.training.schedule import (
    Step,
    average_decay,
    balance,
    learning_rate,
    plan_step,
)
from teacher_bridge.nano.training.state import TrainingState, move_average
from teacher_bridge.nano.training.unroll import Unroller


@pytest.fixture(scope="module")
def state():
    return TrainingState(seed=0)


@pytest.fixture(scope="module")
def pool():
    pool = ClipPool(0, 1, length=3, capacity=2)
    pool.grow()
    pool.grow()
    return pool


def _gradient_step(state, pool, length, mask_prompt):
    batch = pool.batch(np.random.default_rng(0), clips=1, length=length, objects=2)
    result = Unroller(state.model, state.affinity)(batch, mask_prompt, balance=0.5)
    result.loss.backward()
    return result


def test_moving_average_is_exact_and_copies_integers():
    average = {"w": torch.tensor([1.0, 2.0]), "n": torch.tensor(3)}
    move_average(average, {"w": torch.tensor([3.0, 2.0]), "n": torch.tensor(9)}, 0.75)
    assert average["w"].tolist() == [1.5, 2.0] and average["n"] == 9


def test_learning_rate_warms_up_and_ends_low():
    assert learning_rate(0.0, 0) == pytest.approx(1 / 40)
    assert learning_rate(0.0, 39) == 1
    assert learning_rate(0.5, 1000) == pytest.approx(0.51)
    assert learning_rate(1.2, 1000) == pytest.approx(0.02)


def test_schedule_starts_with_single_frames_and_comes_to_long_clips():
    assert balance(0.0) == 0.75 and 0 < balance(0.6) < 0.1 and balance(0.9) == 0.0
    assert average_decay(0) == 0.1 and average_decay(10**6) == 0.998
    assert {plan_step(0.1, step).length for step in range(50)} == {1}
    late = [plan_step(0.9, step) for step in range(200)]
    assert {plan.length for plan in late} == {1, 4, 6, 8}
    assert any(plan.mask_prompt for plan in late)
    assert plan_step(0.9, 5) == plan_step(0.95, 5)  # workers at slightly different times agree
    assert isinstance(late[0], Step)


def test_a_step_from_a_click_reaches_every_part_in_use(state, pool):
    result = _gradient_step(state, pool, length=2, mask_prompt=False)
    assert torch.isfinite(result.loss)
    reached = {n.split(".")[0] for n, p in state.model.named_parameters() if p.grad is not None}
    assert reached >= {"image_encoder", "memory_attention", "memory_encoder", "sam_mask_decoder"}
    before = state.model.image_encoder.trunk.patch_embed.proj.weight.clone()
    norm = state.update(spent=0.1)
    assert 0 < norm < float("inf") and state.step == 1
    assert (state.model.image_encoder.trunk.patch_embed.proj.weight != before).any()


def test_a_step_from_a_mask_scores_the_later_frames_only(state, pool):
    result = _gradient_step(state, pool, length=2, mask_prompt=True)
    assert result.first_iou == result.last_iou
    for optimiser in state.optimisers:
        optimiser.zero_grad()


def test_an_infinite_gradient_changes_nothing(state, pool):
    _gradient_step(state, pool, length=1, mask_prompt=False)
    state.model.image_encoder.trunk.patch_embed.proj.weight.grad[0] = float("inf")
    before = {k: v.clone() for k, v in state.model.state_dict().items()}
    state.update(spent=0.1)
    for name, value in state.model.state_dict().items():
        assert torch.equal(value, before[name])


def test_saving_and_loading_give_the_same_next_step(state, pool, tmp_path):
    state.seconds = 12.5
    state.save(tmp_path / "state.pt")
    other = TrainingState(seed=5)
    other.load(tmp_path / "state.pt")
    assert (other.step, other.seconds) == (state.step, 12.5)
    for each in (state, other):
        _gradient_step(each, pool, length=1, mask_prompt=False)
        each.update(spent=0.2)
    pairs = zip(state.parameters(), other.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert all(torch.equal(state.average[k], other.average[k]) for k in state.average)


def test_resuming_from_something_else_is_one_clear_line(tmp_path):
    (tmp_path / "state.pt").write_bytes(b"not a state")
    with pytest.raises(SystemExit, match="cannot be read"):
        TrainingState(seed=0).load(tmp_path / "state.pt")


def test_command_line_trains_and_resumes(tmp_path, capsys):
    command = ["--out", str(tmp_path), "--hours", "0.5", "--workers", "1", "--first-pool", "1"]
    train.main([*command, "--max-steps", "1"])
    build_nano_predictor(tmp_path / "sam2_nano.safetensors")
    train.main([*command, "--max-steps", "1", "--resume"])
    state = TrainingState(seed=0)
    state.load(tmp_path / "state.pt")
    assert state.step == 2 and state.seconds > 0
    with pytest.raises(SystemExit, match="nothing to resume from"):
        train.main(["--out", str(tmp_path / "none"), "--resume"])
    with pytest.raises(SystemExit):
        train.main([*command, "--hours", "-1"])
    assert "must be positive" in capsys.readouterr().err


def test_training_goes_on_from_weights_alone(tmp_path, capsys):
    command = ["--out", str(tmp_path), "--hours", "0.5", "--workers", "1", "--first-pool", "1"]
    train.main([*command, "--start", "shipped", "--start-at", "0.5", "--max-steps", "1"])
    state = TrainingState(seed=0)
    state.load(tmp_path / "state.pt")
    assert state.step == 1 and 900 < state.seconds < 1800
    shipped = read_weights(WEIGHTS)
    assert state.average.keys() == shipped.keys()
    moved = [(state.average[k] - v).abs().max() for k, v in shipped.items()]
    assert 0 < max(moved) < 0.01  # a first step, of a learning rate that warms up
    with pytest.raises(SystemExit):
        train.main([*command, "--start", "shipped", "--resume"])
    assert "--start without --resume" in capsys.readouterr().err


def test_what_limits_a_model_is_measured_object_by_object(state):
    clip = make_clip(0, limits.LENGTH)
    rows = limits.limits_of(state.model.eval(), clip)
    state.model.train()
    areas = rows[:, 0]
    assert rows.shape == (len(areas), 1 + len(limits.COLUMNS)) and (areas >= 150).all()
    told = dict(zip(limits.COLUMNS, rows[:, 1:].T, strict=True))
    assert (told["answer"] <= told["best of 4"]).all()
    for coarse, fine in pairwise(("grid 48", "grid 64", "grid 96")):
        assert 0.5 < told[coarse].mean() < told[fine].mean() < 1
    # An answer's IoU follows from what it misses and what it adds.
    iou = (1 - told["missed"]) / (1 + told["added"])
    np.testing.assert_allclose(told["answer"], iou, rtol=1e-5)

"""TENT's update against torch in float64, and what stays as it is."""

import dataclasses

import jax
import numpy as np
import pytest

from ditta_jax.algorithm.model import take_apart
from ditta_jax.errors import UserError
from ditta_jax.methods import registry, tent
from ditta_jax.ranges import OPTIMISERS
from ditta_jax.students.layouts.released_layout import RELEASED
from ditta_jax.students.layouts.weight_layout import dump
from ditta_jax.students.parts import join_student
from ditta_jax.students.student import new_student
from tests.methods import tiny
from tests.methods.tiny import FRAMES, FREEZE, ONLINE, SIZE, assert_close, changed, run


def torch_optimiser(torch, name, moving):
    if name == "adam":
        return torch.optim.Adam(moving, lr=1e-3)
    return torch.optim.SGD(moving, lr=1e-3, momentum=0.9)


def torch_step(torch, steps, z):
    """One step on the mean entropy of logits with classes last; the entropy before it."""
    loss = torch.distributions.Categorical(logits=z).entropy().mean()
    steps.zero_grad()
    loss.backward()
    steps.step()
    return loss.item()


def torch_steps(model, warm_up, optimiser):
    """The same steps in torch: from the map that BatchNorm takes, in its own words."""
    torch = pytest.importorskip("torch")
    decoder = model.network.params["decoder"]
    student = join_student(model.graph, model.encoder, model.network)
    scale, bias = (
        torch.tensor(np.array(decoder["norm"][n]), requires_grad=True) for n in ("scale", "bias")
    )
    kernel = torch.tensor(np.array(decoder["classifier"]["kernel"]))
    kernel = kernel.reshape(kernel.shape[-2:])
    offset = torch.tensor(np.array(decoder["classifier"]["bias"]))
    steps = torch_optimiser(torch, optimiser, [scale, bias])
    entropies = []
    for features in warm_up.features:
        x = student.decoder.fuse_levels(jax.tree.map(lambda x: x[None], features))
        x = torch.tensor(np.array(x)).permute(0, 3, 1, 2)
        f = torch.relu(torch.nn.functional.batch_norm(x, None, None, scale, bias, True, eps=1e-5))
        z = f.permute(0, 2, 3, 1) @ kernel + offset
        entropies.append(torch_step(torch, steps, z))
    return scale.detach().numpy(), bias.detach().numpy(), entropies


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_its_steps_are_torchs(model, warm_up, optimiser):
    method = registry.named("tent", optimiser=optimiser)
    prepared = method.prepare(model, warm_up, FREEZE)
    scale, bias, entropies = torch_steps(model, warm_up, optimiser)
    norm = prepared.network.params["decoder"]["norm"]
    np.testing.assert_allclose([row["total"] for row in prepared.losses], entropies, rtol=1e-10)
    np.testing.assert_allclose(norm["scale"], scale, rtol=0, atol=1e-10)
    np.testing.assert_allclose(norm["bias"], bias, rtol=0, atol=1e-10)
    assert prepared.kept_frozen is None


def test_only_affine_parameters_move_and_online_they_go_on(model, warm_up):
    start = tent.METHOD.prepare(model, warm_up, FREEZE)
    moved = {"['decoder']['norm']['scale']", "['decoder']['norm']['bias']"}
    assert changed(model.network.params, start.network.params) == moved
    frozen, labels = run(tent.METHOD, model, warm_up, start.state, online=False)
    assert not changed(start.state, frozen) and labels.shape == (FRAMES, *SIZE)
    online, _ = run(tent.METHOD, model, warm_up, start.state, online=True)
    assert changed(start.state.network.params, online.network.params) == moved


def test_learning_in_the_scan_is_learning_on_the_warm_up(model, warm_up):
    """Frames that are scored as well are not learnt from twice."""
    start = tent.METHOD.prepare(model, warm_up._replace(scored=True), ONLINE)
    assert not start.losses and not changed(model.network, start.state.network)
    online, _ = run(tent.METHOD, model, warm_up, start.state, online=True)
    before = tent.METHOD.prepare(model, warm_up, ONLINE)
    assert_close(online.network, before.network)


def test_every_normalisation_moves_as_in_torch(warm_up):
    """The whole student in torch: LayerNorms of the encoder, and the decoder's BatchNorm."""
    torch = pytest.importorskip("torch")
    from ditta_jax.benchmark.torch_rivals.direct_decoder import Student

    config = dataclasses.replace(tiny.CONFIG, mlp_ratio=4)  # the one that torch's student has
    model = take_apart(new_student(config, seed=1), "float64", "norms")
    method = registry.named("tent", optimiser="sgd", norms="all")
    prepared = method.prepare(model, warm_up._replace(features=warm_up.images), FREEZE)

    names = ("channels", "depths", "heads", "reductions", "num_classes", "embed_dim", "radius")
    student = Student(**{name: getattr(config, name) for name in names}).double().eval()
    start = dump(RELEASED, join_student(model.graph, model.encoder, model.network))
    student.load_state_dict({k: torch.tensor(v) for k, v in start.items()}, strict=False)
    student.decode_head.linear_fuse.bn.train()
    kinds = (torch.nn.LayerNorm, torch.nn.BatchNorm2d)
    moving = [p for m in student.modules() if isinstance(m, kinds) for p in m.parameters()]
    steps = torch_optimiser(torch, "sgd", moving)
    entropies = []
    for image in warm_up.images:
        maps = student.backbone(torch.tensor(np.array(image)).permute(2, 0, 1)[None])
        z = student.decode_head.classify(student.decode_head.embed(maps))
        entropies.append(torch_step(torch, steps, z.permute(0, 2, 3, 1)))

    np.testing.assert_allclose([row["total"] for row in prepared.losses], entropies, rtol=1e-10)
    found = dump(RELEASED, join_student(model.graph, model.encoder, prepared.network))
    for key, expected in student.state_dict().items():
        if "running" not in key and "num_batches" not in key:
            np.testing.assert_allclose(found[key], expected.numpy(), rtol=0, atol=1e-9)
    assert {k for k in found if not np.array_equal(found[k], start[k])} == {
        name for name, p in student.named_parameters() if any(p is own for own in moving)
    }

    again = warm_up._replace(features=warm_up.images, scored=True)
    online = method.prepare(model, again, ONLINE)
    state, labels = run(method, model, warm_up, online.state, online=True)
    assert_close(state.network, prepared.network)
    assert labels.shape == (FRAMES, *SIZE)


def test_without_the_encoder_all_norms_are_the_decoders(model):
    assert tent.Tent(norms="all").moving(model.network) == tent.METHOD.moving(model.network)


def test_wrong_settings_are_refused():
    with pytest.raises(UserError, match="tent.norms must be one of batch, all"):
        registry.named("tent", norms="layer")
    with pytest.raises(UserError, match="tent.optimiser must be one of adam, sgd, not .lion."):
        registry.named("tent", optimiser="lion")
    with pytest.raises(UserError, match="tent.lr must be in 0.0 … 1.0, not -1.0"):
        registry.named("tent", lr=-1.0)

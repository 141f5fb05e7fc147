"""TENT's update against torch in float64, and what stays as it is."""

import jax
import numpy as np
import pytest

from ditta_jax.errors import UserError
from ditta_jax.methods import one_step, registry, tent
from ditta_jax.students.parts import join_student
from tests.methods.tiny import FRAMES, FREEZE, ONLINE, SIZE, assert_close, changed, run


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
    steps = {
        "adam": lambda p: torch.optim.Adam(p, lr=1e-3),
        "sgd": lambda p: torch.optim.SGD(p, lr=1e-3, momentum=0.9),
    }[optimiser]([scale, bias])
    entropies = []
    for features in warm_up.features:
        x = student.decoder.fuse_levels(jax.tree.map(lambda x: x[None], features))
        x = torch.tensor(np.array(x)).permute(0, 3, 1, 2)
        f = torch.relu(torch.nn.functional.batch_norm(x, None, None, scale, bias, True, eps=1e-5))
        z = f.permute(0, 2, 3, 1) @ kernel + offset
        loss = torch.distributions.Categorical(logits=z).entropy().mean()
        steps.zero_grad()
        loss.backward()
        steps.step()
        entropies.append(loss.item())
    return scale.detach().numpy(), bias.detach().numpy(), entropies


@pytest.mark.parametrize("optimiser", one_step.OPTIMISERS)
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


def test_wrong_settings_are_refused():
    with pytest.raises(UserError, match="tent.optimiser must be one of adam, sgd"):
        registry.named("tent", optimiser="lion")
    with pytest.raises(UserError, match="tent.lr must be a number 0 or more"):
        registry.named("tent", lr=-1.0)

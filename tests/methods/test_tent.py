"""TENT's update against torch in float64, and what stays as it is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ditta_jax.algorithm.model import take_apart
from ditta_jax.algorithm.settings import Settings
from ditta_jax.errors import UserError
from ditta_jax.methods import registry, stream, tent
from ditta_jax.methods.protocol import Fixed, Frame, WarmUp
from ditta_jax.students.parts import join_student
from ditta_jax.students.segformer.config import SegFormerConfig
from ditta_jax.students.student import new_student

CONFIG = SegFormerConfig(
    3, (3, 4, 4, 5), (1, 1, 1, 1), (1, 1, 1, 1), (8, 4, 2, 1), 1, embed_dim=6, radius=1
)
INPUT, SIZE, FRAMES = (32, 64), (21, 37), 3


@pytest.fixture(scope="module", autouse=True)
def double():
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def model():
    return take_apart(new_student(CONFIG), "float64")


@pytest.fixture(scope="module")
def warm_up():
    random = np.random.default_rng(0)
    shapes = [
        (INPUT[0] // s, INPUT[1] // s, c)
        for s, c in zip((4, 8, 16, 32), CONFIG.channels, strict=True)
    ]
    features = [tuple(jnp.asarray(random.normal(size=s)) for s in shapes) for _ in range(FRAMES)]
    labels = np.zeros((FRAMES, *SIZE), np.uint8)
    return WarmUp("street", features, None, labels, None, INPUT, features[-1])


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


@pytest.mark.parametrize("optimiser", tent.OPTIMISERS)
def test_its_steps_are_torchs(model, warm_up, optimiser):
    method = registry.named("tent", optimiser=optimiser)
    prepared = method.prepare(model, warm_up, Settings(compute="float64"))
    scale, bias, entropies = torch_steps(model, warm_up, optimiser)
    norm = prepared.network.params["decoder"]["norm"]
    np.testing.assert_allclose([row["total"] for row in prepared.losses], entropies, rtol=1e-10)
    np.testing.assert_allclose(norm["scale"], scale, rtol=0, atol=1e-10)
    np.testing.assert_allclose(norm["bias"], bias, rtol=0, atol=1e-10)
    assert prepared.kept_frozen is None


def changed(before, after):
    leaves = zip(jax.tree.leaves_with_path(before), jax.tree.leaves(after), strict=True)
    return {jax.tree_util.keystr(key) for (key, x), y in leaves if not np.array_equal(x, y)}


def run(model, warm_up, state, online):
    features = jax.tree.map(lambda *x: jnp.stack(x), *warm_up.features)
    frames = Frame(features, jnp.zeros((FRAMES, *INPUT, 3)))
    fixed = Fixed(SIZE, INPUT, 0.8, "tiles", online)
    state = jax.tree.map(jnp.copy, state)
    return stream.label_frames(tent.METHOD, model, state, frames, fixed)


def test_only_affine_parameters_move_and_online_they_go_on(model, warm_up):
    start = tent.METHOD.prepare(model, warm_up, Settings(compute="float64"))
    moved = {"['decoder']['norm']['scale']", "['decoder']['norm']['bias']"}
    assert changed(model.network.params, start.network.params) == moved
    frozen, labels = run(model, warm_up, start.state, online=False)
    assert not changed(start.state, frozen) and labels.shape == (FRAMES, *SIZE)
    online, _ = run(model, warm_up, start.state, online=True)
    assert changed(start.state.network.params, online.network.params) == moved


def test_learning_in_the_scan_is_learning_on_the_warm_up(model, warm_up):
    """Frames that are scored as well are not learnt from twice."""
    settings = Settings(compute="float64", protocol="online")
    start = tent.METHOD.prepare(model, warm_up._replace(scored=True), settings)
    assert not start.losses and not changed(model.network, start.state.network)
    online, _ = run(model, warm_up, start.state, online=True)
    before = tent.METHOD.prepare(model, warm_up, settings)
    for ours, theirs in zip(
        jax.tree.leaves(online.network), jax.tree.leaves(before.network), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


def test_wrong_settings_are_refused():
    with pytest.raises(UserError, match="tent.optimiser must be one of adam, sgd"):
        registry.named("tent", optimiser="lion")
    with pytest.raises(UserError, match="tent.lr must be a number 0 or more"):
        registry.named("tent", lr=-1.0)

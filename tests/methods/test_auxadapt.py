"""AuxAdapt's update against torch in float64, and what stays as it is."""

import jax
import numpy as np
import pytest

from ditta_jax.errors import UserError
from ditta_jax.methods import auxadapt, frozen, registry
from ditta_jax.ranges import OPTIMISERS
from ditta_jax.students.parts import join_student
from tests.methods.tiny import FRAMES, FREEZE, ONLINE, SIZE, assert_close, changed, run

LR = 0.3  # large, so that three steps turn labels
METHOD = registry.named("auxadapt", lr=LR)


def torch_steps(model, warm_up, optimiser):
    """The same steps in torch, of the auxiliary's norm and classifier: in plain words.

    What lies before the norm has a gradient of its own; its map is taken as our decoder gives it
    before the first step, so that only one step is compared.
    """
    torch = pytest.importorskip("torch")
    decoder = jax.tree.map(np.array, model.network.params["decoder"])
    statistics = jax.tree.map(np.array, model.network.statistics["decoder"]["norm"])
    student = join_student(model.graph, model.encoder, model.network)
    x = student.decoder.fuse_levels(jax.tree.map(lambda x: x[None], warm_up.features[0]))
    x = torch.tensor(np.array(x)[0])
    main, auxiliary = (
        {
            "scale": torch.tensor(decoder["norm"]["scale"], requires_grad=True),
            "bias": torch.tensor(decoder["norm"]["bias"], requires_grad=True),
            "kernel": torch.tensor(decoder["classifier"]["kernel"], requires_grad=True),
            "offset": torch.tensor(decoder["classifier"]["bias"], requires_grad=True),
        }
        for _ in range(2)
    )
    mean, var = (torch.tensor(statistics[name]) for name in ("mean", "var"))

    def logits(own):
        f = torch.relu((x - mean) / (var + 1e-5).sqrt() * own["scale"] + own["bias"])
        return f @ own["kernel"] + own["offset"]

    steps = {
        "adam": lambda p: torch.optim.Adam(p, lr=LR),
        "sgd": lambda p: torch.optim.SGD(p, lr=LR, momentum=0.9),
    }[optimiser](list(auxiliary.values()))
    with torch.no_grad():
        label = (logits(main) + logits(auxiliary)).argmax(-1)
    loss = torch.nn.functional.cross_entropy(logits(auxiliary).reshape(-1, 3), label.reshape(-1))
    loss.backward()
    steps.step()
    return {name: value.detach().numpy() for name, value in auxiliary.items()}, loss.item()


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_its_step_is_torchs(model, warm_up, optimiser):
    method = registry.named("auxadapt", lr=LR, optimiser=optimiser)
    first = warm_up._replace(features=warm_up.features[:1])
    prepared = method.prepare(model, first, FREEZE)
    theirs, loss = torch_steps(model, warm_up, optimiser)
    ours = prepared.state.decoder
    assert [row["total"] for row in prepared.losses] == [pytest.approx(loss, rel=1e-10)]
    np.testing.assert_allclose(ours["norm"]["scale"], theirs["scale"], rtol=0, atol=1e-10)
    np.testing.assert_allclose(ours["norm"]["bias"], theirs["bias"], rtol=0, atol=1e-10)
    np.testing.assert_allclose(ours["classifier"]["kernel"], theirs["kernel"], rtol=0, atol=1e-10)
    np.testing.assert_allclose(ours["classifier"]["bias"], theirs["offset"], rtol=0, atol=1e-10)
    assert prepared.kept_frozen is None


def test_an_auxiliary_that_has_not_learnt_changes_no_label(model, warm_up):
    still = registry.named("auxadapt", lr=0.0)
    start = still.prepare(model, warm_up, FREEZE)
    assert len(start.losses) == FRAMES
    assert not changed(model.network.params["decoder"], start.state.decoder)
    _, ours = run(still, model, warm_up, start.state, online=False)
    _, theirs = run(frozen.METHOD, model, warm_up, (), online=False)
    np.testing.assert_array_equal(ours, theirs)


def test_only_the_copy_moves_and_online_it_goes_on(model, warm_up):
    before = jax.tree.map(np.array, model.network)
    start = METHOD.prepare(model, warm_up, FREEZE)
    assert not changed(before, model.network)
    moved = changed(model.network.params["decoder"], start.state.decoder)
    assert any("classifier" in name for name in moved) and any("norm" in name for name in moved)
    assert not any("projection" in name for name in moved)  # no loss reaches it
    state, labels = run(METHOD, model, warm_up, start.state, online=False)
    assert not changed(start.state, state) and labels.shape == (FRAMES, *SIZE)
    _, plain = run(frozen.METHOD, model, warm_up, (), online=False)
    assert (np.asarray(labels) != np.asarray(plain)).any()
    state, _ = run(METHOD, model, warm_up, start.state, online=True)
    assert changed(start.state.decoder, state.decoder) == moved


def test_labels_are_those_of_the_sum(model, warm_up):
    """In float64, by an obvious way: both decoders, added, resized, argmax."""
    from ditta_jax.students.resize import bilinear

    start = METHOD.prepare(model, warm_up, FREEZE)
    _, labels = run(METHOD, model, warm_up, start.state, online=False)
    adapted = {**model.network.params, "decoder": start.state.decoder}
    for features, label in zip(warm_up.features, labels, strict=True):
        total = 0
        for params in (model.network.params, adapted):
            network = model.network._replace(params=params)
            student = join_student(model.graph, model.encoder, network)
            total += student.classify(student.embed(jax.tree.map(lambda x: x[None], features)))
        wide = bilinear(bilinear(total, (32, 64)), SIZE)[0]
        np.testing.assert_array_equal(label, np.asarray(wide).argmax(-1))


def test_learning_in_the_scan_is_learning_on_the_warm_up(model, warm_up):
    """Frames that are scored as well are not learnt from twice."""
    start = METHOD.prepare(model, warm_up._replace(scored=True), ONLINE)
    assert not start.losses and not changed(model.network.params["decoder"], start.state.decoder)
    online, _ = run(METHOD, model, warm_up, start.state, online=True)
    assert_close(online.decoder, METHOD.prepare(model, warm_up, ONLINE).state.decoder)


def test_what_is_not_finite_keeps_the_frozen_student(model, warm_up):
    broken = [jax.tree.map(lambda x: x * np.nan, features) for features in warm_up.features]
    found = auxadapt.METHOD.prepare(model, warm_up._replace(features=broken), FREEZE)
    assert found.kept_frozen == "adapted weights are not finite"


def test_wrong_settings_are_refused():
    with pytest.raises(UserError, match="auxadapt.optimiser must be one of adam, sgd"):
        registry.named("auxadapt", optimiser="lion")
    with pytest.raises(UserError, match="auxadapt.lr must be in 0.0 … 1.0, not nan"):
        registry.named("auxadapt", lr=float("nan"))

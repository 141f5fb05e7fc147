"""CoTTA's updates against torch in float64, and what stays as it is."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ditta_jax.errors import UserError
from ditta_jax.methods import cotta, frozen, one_step, registry
from ditta_jax.students.parts import join_student
from tests.methods.tiny import FRAMES, FREEZE, INPUT, ONLINE, SIZE, assert_close, changed, run

SCALES = (0.5, 1.75)
SMALL = dict(lr=0.05, scales=SCALES, restore=0.3, momentum=0.9)  # large steps, few compilations


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


def resized(torch, x, size):
    """[b, h, w, c] → [b, *size, c]."""
    x = torch.nn.functional.interpolate(
        x.permute(0, 3, 1, 2), size=size, mode="bilinear", align_corners=False
    )
    return x.permute(0, 2, 3, 1)


@functools.partial(jax.jit, static_argnums=0)
def encoded(graph, encoder, network, images):
    student = join_student(graph, encoder, network)
    features = student.encode(images)
    f = student.embed(features)
    return features, f, jax.nn.softmax(student.classify(f)).max(-1).mean((1, 2))


def embedding(torch, model, images):
    """What lies before the classifier, which alone moves in these tests."""
    return torch.tensor(np.array(encoded(*model[:3], jnp.asarray(images.numpy()))[1]))


def torch_steps(torch, model, warm_up, method):
    """CoTTA of the classifier over the warm-up frames, word by word as the paper has it."""
    classifier = jax.tree.map(np.array, model.network.params["decoder"]["classifier"])
    names = ("bias", "kernel")
    source, student, teacher = (
        {name: torch.tensor(classifier[name]) for name in names} for _ in range(3)
    )
    for value in student.values():
        value.requires_grad_(True)
    adam = torch.optim.Adam(list(student.values()), lr=method.lr)
    key = one_step.random_key(FREEZE, warm_up.name)
    losses, unsure = [], []
    for image in warm_up.images:
        image = torch.tensor(np.array(image))[None]
        f = embedding(torch, model, image)
        with torch.no_grad():
            confidence = (f @ source["kernel"] + source["bias"]).softmax(-1).amax(-1).mean()
            soft = (f @ teacher["kernel"] + teacher["bias"]).softmax(-1)
            if confidence < method.threshold:
                unsure.append(True)
                views = []
                for scale in method.scales:
                    size = [max(32, round(side * scale / 32) * 32) for side in INPUT]
                    view = resized(torch, image, size)
                    for flip in (False, True) if method.flip else (False,):
                        seen = view.flip(2) if flip else view
                        z = embedding(torch, model, seen) @ teacher["kernel"] + teacher["bias"]
                        p = resized(torch, z, f.shape[1:3]).softmax(-1)
                        views.append(p.flip(2) if flip else p)
                soft = torch.stack(views).mean(0)
        z = f @ student["kernel"] + student["bias"]
        loss = -(soft * z.log_softmax(-1)).sum(-1).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
        key, own = jax.random.split(key)
        masks = masks_of(model, own, method.restore)
        with torch.no_grad():
            for name in names:
                m = method.momentum
                teacher[name] = m * teacher[name] + (1 - m) * student[name]
                student[name][masks[name]] = source[name][masks[name]]
    return student, teacher, losses, len(unsure)


def masks_of(model, key, rate):
    """Which numbers of the classifier return: one draw for all leaves, in their order."""
    leaves = jax.tree.leaves_with_path(model.network.params)
    drawn = np.array(jax.random.bernoulli(key, rate, (sum(leaf.size for _, leaf in leaves),)))
    found, first = {}, 0
    for path, leaf in leaves:
        name = jax.tree_util.keystr(path)
        found[name] = drawn[first : first + leaf.size].reshape(leaf.shape)
        first += leaf.size
    return {name: found[f"['decoder']['classifier']['{name}']"] for name in ("bias", "kernel")}


@pytest.mark.parametrize(("averaged", "flip"), [(FRAMES, True), (1, False)])
def test_its_steps_are_torchs(torch, model, warm_up, averaged, flip):
    """Unsure of all frames, or of the first only.

    Of none would compare rounding: student and teacher are one then, there is nothing to learn, and
    Adam makes steps of what is left.
    """
    confidences = [float(encoded(*model[:3], image[None])[2][0]) for image in warm_up.images]
    order = np.argsort(confidences)
    threshold = 1.0 if averaged == FRAMES else sum(sorted(confidences)[:2]) / 2
    warm_up = warm_up._replace(images=[warm_up.images[t] for t in order])
    method = registry.named("cotta", params="classifier", threshold=threshold, flip=flip, **SMALL)
    prepared = method.prepare(model, warm_up, FREEZE)
    student, teacher, losses, unsure = torch_steps(torch, model, warm_up, method)
    assert unsure == averaged
    np.testing.assert_allclose([row["total"] for row in prepared.losses], losses, rtol=1e-9)
    ours = prepared.state.student.params["decoder"]["classifier"]
    slow = prepared.state.teacher["decoder"]["classifier"]
    for name in ("bias", "kernel"):
        np.testing.assert_allclose(ours[name], student[name].detach(), rtol=0, atol=1e-9)
        np.testing.assert_allclose(slow[name], teacher[name].detach(), rtol=0, atol=1e-9)
    assert prepared.kept_frozen is None


WHOLE = registry.named("cotta", **{**SMALL, "threshold": 1.0, "flip": False, "scales": (0.5,)})


@pytest.fixture(scope="module")
def learnt(model, warm_up):
    return WHOLE.prepare(model, warm_up, FREEZE)


def test_all_weights_move_the_encoders_too(model, learnt):
    source = cotta.METHOD._split(*model[:3])[0].params
    moved = changed(source, learnt.state.student.params)
    still = {jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(source)} - moved
    assert any("encoder" in name for name in moved) and any("classifier" in name for name in moved)
    assert all("fusion" in name or "projection" in name for name in still), still  # no loss there
    assert changed(source, learnt.state.teacher) == moved
    assert learnt.network.params is learnt.state.teacher and len(learnt.losses) == FRAMES


def test_the_group_that_moves_is_a_setting(model, warm_up):
    scored = warm_up._replace(scored=True)  # nothing is learnt yet
    decoder = {"decoder", "fusion"}
    for group, parts in (("all", {"encoder", *decoder}), ("decoder", decoder)):
        start = registry.named("cotta", params=group).prepare(model, scored, ONLINE)
        assert start.state.student.params.keys() == parts and not start.losses


def test_before_it_learns_it_is_the_frozen_student_and_then_the_teacher(model, warm_up, learnt):
    start = WHOLE.prepare(model, warm_up._replace(scored=True), ONLINE)
    _, ours = run(WHOLE, model, warm_up, start.state, online=False)
    kept, taught = run(WHOLE, model, warm_up, learnt.state, online=False)
    assert not changed(learnt.state.teacher, kept.teacher)
    features = [
        jax.tree.map(lambda x: x[0], encoded(*model[:3], image[None])[0])
        for image in warm_up.images
    ]
    _, theirs = run(frozen.METHOD, model, warm_up._replace(features=features), (), online=False)
    np.testing.assert_array_equal(ours, theirs)
    assert (np.asarray(taught) != np.asarray(theirs)).any()


def test_online_the_scan_learns_as_the_warm_up_does(model, warm_up):
    method = registry.named("cotta", params="classifier", threshold=1.0, **SMALL)
    start = method.prepare(model, warm_up._replace(scored=True), ONLINE)
    online, labels = run(method, model, warm_up, start.state, online=True)
    assert labels.shape == (FRAMES, *SIZE)
    before = method.prepare(model, warm_up, ONLINE).state
    assert_close(online.student.params, before.student.params, atol=1e-9)
    assert_close(online.teacher, before.teacher, atol=1e-9)
    assert changed(start.state.teacher, online.teacher)


def test_as_many_weights_return_as_the_rate_says():
    before, after = jnp.zeros(40_000), jnp.ones(40_000)
    found = cotta.restored({"w": after}, {"w": before}, jax.random.key(3), 0.01)["w"]
    share = float((found == 0).mean())
    assert abs(share - 0.01) < 5 * (0.01 * 0.99 / 40_000) ** 0.5
    other = cotta.restored({"w": after}, {"w": before}, jax.random.key(4), 0.01)["w"]
    assert (found != other).any()
    assert (cotta.restored({"w": after}, {"w": before}, jax.random.key(3), 1.0)["w"] == 0).all()


def test_what_returns_is_drawn_at_once_for_all_weights():
    """A draw a leaf has hundreds of generators compiled."""
    params = {"a": jnp.zeros((2, 3)), "b": {"c": jnp.zeros(4), "d": jnp.zeros(())}}
    program = jax.make_jaxpr(cotta.restored)(params, params, jax.random.key(0), 0.5)
    assert str(program).count("random_bits") == 1


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"lr": -1.0}, "cotta.lr must be in 0.0 … 1.0, not -1.0"),
        ({"params": "head"}, "cotta.params must be one of all, decoder, classifier, norms"),
        ({"restore": 1.5}, "cotta.restore must be in 0.0 … 1.0, not 1.5"),
        ({"scales": ()}, "cotta.scales must be scales in 0.05 … 8, not"),
    ],
)
def test_wrong_settings_are_refused(setting, words):
    with pytest.raises(UserError, match=words):
        registry.named("cotta", **setting)

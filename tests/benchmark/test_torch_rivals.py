"""The fast PyTorch rival computes what the direct one computes, to double precision."""

import os
import re
import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from functorch.compile import make_boxed_func  # noqa: E402
from torch._dynamo.backends.common import aot_autograd  # noqa: E402
from torch._inductor.decomposition import select_decomp_table  # noqa: E402

from ditta_jax.benchmark.torch_rivals import direct_step, fast_losses, fast_step  # noqa: E402
from ditta_jax.benchmark.torch_rivals.direct_decoder import Student  # noqa: E402

SIZE, INPUT, MAPS, OBJECTS = (50, 70), (64, 96), (16, 24), 4


@pytest.fixture
def student():
    torch.manual_seed(0)
    made = Student((8, 8, 12, 16), (1, 1, 1, 1), 7, heads=(1, 2, 2, 4), embed_dim=16, radius=2)
    with torch.no_grad():  # logits and features that differ from place to place
        made.decode_head.linear_pred.weight *= 20
        made.decode_head.query_layer[2].weight *= 5
    return made.double()


@pytest.fixture
def clip():
    generator = np.random.default_rng(1)
    frames = torch.from_numpy(generator.normal(size=(2, 3, *INPUT)))
    rows, columns = (np.arange(n) * 5 // n for n in SIZE)
    labels = generator.integers(0, 7, (2, 5, 5))[:, rows][:, :, columns]
    labels[:, :3] = 255
    ids = generator.integers(0, OBJECTS, (2, 5, 5))[:, rows][:, :, columns]  # the last never shows
    return frames, torch.from_numpy(labels), torch.from_numpy(ids)


def test_steps_agree_in_losses_and_in_every_parameter(student, clip):
    frames, labels, ids = clip
    direct = direct_step.Adaptation(student)
    like = student.decode_head.linear_pred.weight
    geo = fast_losses.geometry(MAPS, INPUT, SIZE, like, block_rows=16)
    fast = fast_step.FastAdaptation(student, geo, OBJECTS)
    with torch.no_grad():
        maps = student.eval().backbone(frames)
    for t in (0, 1, 0, 1):
        clip_now = slice(max(t - 1, 0), t + 1)
        row = direct.step(frames[clip_now], direct_step.Target(labels[t], ids[t])).row()[:3]
        ours = fast.step([x[clip_now] for x in maps], direct_step.Target(labels[t], ids[t]))
        np.testing.assert_allclose(ours.row()[:3], row, rtol=1e-11)
    theirs = dict(direct.live.decode_head.state_dict())
    for key, value in fast.live.state_dict().items():
        np.testing.assert_allclose(value, theirs[key], rtol=1e-7, atol=1e-9, err_msg=key)
    slow = dict(direct.momentum.decode_head.state_dict())
    for key, value in fast.momentum.state_dict().items():
        np.testing.assert_allclose(value, slow[key], rtol=1e-7, atol=1e-9, err_msg=key)


def test_frames_agree_in_every_label(student, clip):
    frames, _, _ = clip
    student.eval()
    like = student.decode_head.linear_pred.weight
    geo = fast_losses.geometry(MAPS, INPUT, SIZE, like, block_rows=16)
    plain = direct_step.predict_plain(student, frames[1], SIZE).argmax(0)
    assert torch.equal(fast_step.plain_frame(student, frames[1], geo), plain)
    with torch.no_grad():
        f = fast_step.embed(student.decode_head, student.backbone(frames))
        carry = (f[0], student.decode_head.classify(f)[0])
    fused, _ = fast_step.fused_frame(student, frames[1], carry, geo)
    expected = next(direct_step.predict_fused(student, list(frames), SIZE, 1))
    assert torch.equal(fused, expected)
    assert not torch.equal(fused, plain)


def test_flash_attention_changes_nothing_but_rounding(student, clip):
    frames, _, _ = clip
    with torch.no_grad():
        before = student.eval().backbone(frames)
        after = fast_step.use_flash_attention(student).backbone(frames)
    for ours, theirs in zip(after, before, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


def gathers(q, k, v, u, geo):
    return fast_step.window_attention(q, k, v, 2), fast_losses.upsampled_norm(u, geo)


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the compiler's own
@pytest.mark.skipif(not shutil.which(os.environ.get("CXX", "g++")), reason="needs a C++ compiler")
def test_compiled_for_two_threads_values_and_gradients_agree(two_threads):
    generator = torch.Generator().manual_seed(2)
    inputs = [torch.randn(*MAPS, n, generator=generator).requires_grad_() for n in (16, 16, 7, 16)]
    geo = fast_losses.geometry(MAPS, INPUT, SIZE, inputs[0])
    results = []
    for function in (gathers, torch.compile(gathers)):
        outputs = function(*inputs, geo)
        weights = [torch.linspace(-1, 1, y.numel()).reshape(y.shape) for y in outputs]
        results.append((*outputs, *torch.autograd.grad(outputs, inputs, weights)))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiled_step_takes_no_gradient_of_a_gather(student, clip):
    """Compiled for several threads of a CPU, the scatter of that gradient writes out of bounds."""
    frames, labels, ids = clip
    seen = []

    def record(graph, _):
        seen.extend(str(node.target) for node in graph.graph.nodes)
        return make_boxed_func(graph.forward)

    like = student.decode_head.linear_pred.weight
    geo = fast_losses.geometry(MAPS, INPUT, SIZE, like, block_rows=32)
    eager, compiled = (fast_step.FastAdaptation(student, geo, OBJECTS) for _ in range(2))
    backend = aot_autograd(fw_compiler=record, decompositions=select_decomp_table())
    compiled._losses = torch.compile(fast_step.step_losses, backend=backend)
    with torch.no_grad():
        maps = student.eval().backbone(frames)
    for _ in range(2):
        step = (maps, direct_step.Target(labels[1], ids[1]))
        np.testing.assert_allclose(compiled.step(*step).row()[:3], eager.step(*step).row()[:3])
    for ours, theirs in zip(compiled.live.parameters(), eager.live.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-9)
    assert any("mm" in name for name in seen)
    assert not [name for name in seen if re.search("index_put|scatter_add|index_add|unfold", name)]

"""Memory is estimated before it is used, and the estimate is near what a compiler says."""

import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

from ditta_jax.algorithm import inference, liveness
from ditta_jax.algorithm.model import take_apart
from ditta_jax.algorithm.settings import Settings
from ditta_jax.configuration import default_config
from ditta_jax.errors import UserError
from ditta_jax.methods import registry
from ditta_jax.runs import room
from ditta_jax.runs.plan import Program
from ditta_jax.runs.preflight import Preview
from ditta_jax.runs.room import Estimate, Need, Room, fitting, need_of, room_of
from ditta_jax.students.student import new_student
from tests.runs.tiny_video import CONFIG

PROGRAM = Program((480, 853), (480, 864), 6)


def live(f, *shapes):
    return liveness.temporaries(jax.jit(f).trace(*shapes))


def array(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def test_a_value_is_held_until_it_is_read_for_the_last_time():
    x = array(1000)
    assert live(lambda x: jnp.sin(jnp.cos(x)), x) == 8000  # both while the sine is made
    assert live(lambda x: jnp.cos(x) + jnp.sin(x) + jnp.exp(x), x) == 12000
    assert live(lambda x: x, x) == 0  # an argument is the caller's


def test_a_loop_works_with_one_turn_at_a_time():
    x = array(50, 1000)

    def turn(x):
        return (jnp.sin(x)[:, None] * jnp.cos(x)[None]).sum()

    # 50 numbers come out; of one turn, the outer product and what it is made of.
    found = live(functools.partial(jax.lax.map, turn), x)
    assert 4_000_000 < found < 8_100_000


def test_the_larger_branch_counts():
    def f(x, large):
        def outer():
            return jnp.sin(x)[:, None] * x[None]

        return jax.lax.cond(large, outer, lambda: jnp.zeros((1000, 1000)))

    assert live(f, array(1000), jax.ShapeDtypeStruct((), bool)) >= 4_000_000


@pytest.mark.parametrize(
    ("gigabytes", "devices", "videos", "found"),
    [(10.0, 1, 8, 4), (10.0, 2, 8, 8), (5.0, 2, 8, 4), (5.0, 1, 1, 1), (None, 1, 8, 8)],
)
def test_as_many_as_fit(gigabytes, devices, videos, found):
    need = Need(fixed=10**9, each=2 * 10**9, stage="C")
    there = None if gigabytes is None else int(gigabytes * 10**9)
    assert fitting(PROGRAM, need, videos, Room(there, devices, "the device has")) == found


@pytest.mark.robustness(
    "Frames and videos", "a video too large for the memory", "refused before any work, with numbers"
)
def test_where_not_even_one_fits_the_numbers_are_told(said):
    need = Need(fixed=10**9, each=2 * 10**9, stage="C")
    with pytest.raises(UserError) as caught:
        fitting(PROGRAM, need, 8, Room(25 * 10**8, 2, "the device has"))
    said(str(caught.value))
    assert "480x853 and a warm-up of 6 frames need about 3.00 GB in stage C" in str(caught.value)
    assert "the device has 2.50 GB" in str(caught.value)


def parallel(**changes):
    config = default_config().parallel
    config.update(changes)
    return config


def test_a_setting_says_how_much_may_be_used():
    assert room_of(parallel(memory_gb=1.5)) == Room(15 * 10**8, 1, "parallel.memory_gb allows")


def test_a_machine_says_what_it_has(monkeypatch, tmp_path):
    said = tmp_path / "meminfo"
    said.write_text("MemTotal: 9 kB\nMemAvailable:    2000000 kB\n")
    monkeypatch.setattr(room, "_MEMINFO", said)
    assert room_of(parallel()) == Room(2_048_000_000, 1, "the machine has free")
    monkeypatch.setattr(room, "_MEMINFO", tmp_path / "none")
    assert room_of(parallel()).bytes is None


def test_a_device_says_what_it_has(monkeypatch):
    devices = [
        SimpleNamespace(platform="gpu", memory_stats=lambda n=n: {"bytes_limit": n * 10**9})
        for n in (80, 79, 1)
    ]
    monkeypatch.setattr(jax, "local_devices", lambda: devices)
    assert room_of(parallel(videos=2)) == Room(79 * 10**9, 2, "the device has")
    devices[0].memory_stats = lambda: None
    assert room_of(parallel(videos=1)).bytes is None


@pytest.fixture(scope="module")
def model():
    return take_apart(new_student(CONFIG), "float32")


SMALL = Program((30, 44), (32, 32), 3)


def test_what_a_student_needs_grows_with_frames_and_pixels(model):
    settings = Settings(scale=(32, 32))
    need = need_of(model, settings, SMALL, objects=16)
    assert need.stage == "C"
    longer = need_of(model, settings, SMALL._replace(length=12), objects=16)
    cells = 3 / 4**2 + 4 / 8**2 + 4 / 16**2 + 5 / 32**2
    frame = 32 * 32 * 4 * cells + 2 * 30 * 44 + 1  # features, labels, object ids, whether it has
    assert longer.each - need.each == pytest.approx(9 * frame, abs=9 * 64)
    larger = need_of(model, settings, SMALL._replace(size=(60, 88), inner=(64, 64)), objects=16)
    assert 3 * need.each < larger.each
    assert need_of(model, settings, SMALL, objects=0).each < need.each


def work(model, **changes):
    config = default_config()
    config.parallel.update(changes)
    config.teacher.max_objects = 16
    methods = {name: registry.named(name) for name in ("frozen", "ditta")}
    settings = Settings(scale=(32, 32))
    return SimpleNamespace(config=config, model=model, settings=settings, methods=methods)


def test_fewer_are_side_by_side_where_memory_is_short(model):
    lines = []
    need = need_of(model, Settings(scale=(32, 32)), SMALL, objects=16)
    allowed = (need.of(3) + need.each / 2) / 1e9
    estimate = Estimate(work(model, videos=8, memory_gb=allowed), lines.append)
    assert estimate.limits and estimate.fits(SMALL) == estimate.fits(SMALL) == 3
    (line,) = lines
    assert line.startswith("memory: 3 instead of 8 videos of 30x44 side by side, with a warm-up")
    assert "with 8 at once (stage C), parallel.memory_gb allows" in line
    assert "with 3 at once" in estimate.words(SMALL)


def test_what_cannot_be_done_at_all_is_a_fault_of_the_video(model):
    estimate = Estimate(work(model, memory_gb=1e-6))
    preview = Preview("a", (30, 44), 8, 3, 5, 5, (), ())
    (fault,) = estimate.checked(preview).faults
    assert "need about" in fault and "parallel.memory_gb allows 0.00 GB" in fault
    bad = preview._replace(faults=("c.mp4: no such video file",))
    assert estimate.checked(bad) == bad
    unlimited = Estimate(work(model))
    assert not unlimited.limits and unlimited.checked(preview) == preview


def test_the_estimate_is_near_what_the_compiler_says(model):
    """Of stage A's labels: of all programs the one that is compiled soonest."""
    parts = jax.eval_shape(lambda: (model.encoder, model.network))
    features = [
        array(2, 128 // stride, 224 // stride, c)
        for c, stride in zip(CONFIG.channels, (4, 8, 16, 32), strict=True)
    ]
    sizes = (120, 213), (128, 224)
    traced = inference.label_plain.trace(model.graph, *parts, tuple(features), *sizes)
    report = traced.lower().compile().memory_analysis()
    compiled = report.temp_size_in_bytes + report.output_size_in_bytes
    assert 0.5 < liveness.temporaries(traced) / compiled < 2

"""Rival (d): this package, through the functions that `ditta_jax.adapt` runs."""

import functools
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np

from ditta_jax.algorithm import adaptation, inference, precision
from ditta_jax.algorithm.adaptation import AdaptationSettings, TaughtFrames
from ditta_jax.algorithm.model import Model
from ditta_jax.algorithm.optimiser import Hyperparameters
from ditta_jax.benchmark import measurement, workload
from ditta_jax.benchmark.measurement import Measurement, Task
from ditta_jax.benchmark.workload import Workload
from ditta_jax.methods import ditta, frozen, stream
from ditta_jax.methods.protocol import Fixed, Frame
from ditta_jax.students.layouts import weight_layout
from ditta_jax.students.layouts.released_layout import RELEASED
from ditta_jax.students.parts import split_student
from ditta_jax.students.segformer.config import SegFormerConfig

THRESHOLD = 0.8  # τ of Eq. 3
STEPS_PER_CALL = 5  # a video's steps are one call; these are enough to see what one of them costs
FRAMES_PER_CALL = 8  # as in `stages`


class Ours:
    """The compiled programs on one workload."""

    def __init__(self, work: Workload, compute: str):
        """Load the weights and put the clip on the device."""
        config = SegFormerConfig.published(work.size.student, work.size.classes)
        student = weight_layout.load(RELEASED, config, work.weights, "workload").student
        self.network, self.graph, encoder = split_student(student)
        self.encoder = precision.cast(encoder, compute)
        self.frames = jnp.asarray(work.frames.transpose(0, 2, 3, 1), compute)
        self.size = (work.size.height, work.size.width)
        self.input = work.size.input
        self.objects = work.size.objects
        self.classes = work.size.classes
        self.warm_up = TaughtFrames(
            self.encode(self.frames),
            jnp.asarray(work.labels),
            jnp.asarray(work.object_ids),
            jnp.ones(len(work.frames), bool),
        )
        self.settings = AdaptationSettings(self.input, dropout=0.0)

    def encode(self, frames):
        """Encoder features, once per warm-up frame."""
        return inference.encode(self.graph, self.encoder, self.network, frames)

    def state(self):
        """A fresh state."""
        return adaptation.new_state(self.network, self.objects, jax.random.key(0))

    def adapt(self, state, warm_up: TaughtFrames, passes: int):
        """The compiled scan."""
        hyper = Hyperparameters()
        return adaptation.adapt(
            state, self.graph, self.encoder, warm_up, hyper, self.settings, passes
        )


def measure(work: Workload, task: Task) -> Measurement:
    """Losses, times and memory."""
    ours = Ours(work, task.compute)
    device = jax.local_devices()[0]
    name = f"{device.platform}: {device.device_kind}"
    result = Measurement(task.rival, f"jax {jax.__version__}", name)
    state, losses = ours.adapt(ours.state(), ours.warm_up, measurement.PASSES)
    table = np.stack([losses.distill, losses.distill_fused, losses.contrast], 1)
    result.losses = measurement.rows(table.tolist())
    _time_steps(ours, state, task, result)
    stats = device.memory_stats() if device.platform != "cpu" else None
    result.peak_bytes = stats["peak_bytes_in_use"] if stats else measurement.peak_resident_bytes()
    _time_frames(ours, task, result)
    square, product = jnp.ones((measurement.MATMUL_SIDE,) * 2, jnp.float32), jax.jit(jnp.matmul)
    result.matmul_flops = measurement.matmul_flops(
        lambda: product(square, square), jax.block_until_ready
    )
    return result


def _time_steps(ours: Ours, state, task: Task, result: Measurement) -> None:
    """The scan skips frame 0 here, so that every pass is one full step."""
    only_second = ours.warm_up._replace(has_target=jnp.arange(len(ours.frames)) == 1)

    def steps():
        nonlocal state
        state, losses = ours.adapt(state, only_second, STEPS_PER_CALL)
        return losses

    started = time.perf_counter()
    jax.block_until_ready(steps())
    first_call = time.perf_counter() - started
    result.step = measurement.repeat(
        steps, jax.block_until_ready, task.steps, warm=True, per_call=STEPS_PER_CALL
    )
    result.first_step = first_call - (STEPS_PER_CALL - 1) * statistics.median(result.step)

    def whole_pass():
        nonlocal state
        state, losses = ours.adapt(state, ours.warm_up, 1)
        return losses

    result.whole_pass = measurement.repeat(whole_pass, jax.block_until_ready, task.steps)
    one = functools.partial(ours.encode, ours.frames[:1])
    result.encode = measurement.repeat(one, jax.block_until_ready, task.steps)


def _time_frames(ours: Ours, task: Task, result: Measurement) -> None:
    """Stage D on a chunk of frames, and the plain branch of the same student."""
    if not task.frames:
        return
    graph, encoder, network = ours.graph, ours.encoder, ours.network
    frames = jnp.repeat(ours.frames[:1], FRAMES_PER_CALL, 0)
    first = jax.tree.map(lambda x: x[0], ours.encode(ours.frames[:1]))
    carry = inference.previous_frame(graph, encoder, network, first, True)
    state = jax.tree.map(jnp.copy, ditta.State(network, carry))  # it is donated

    model = Model(graph, encoder, network, task.compute, ours.classes)
    fixed = Fixed(ours.size, ours.input, THRESHOLD, online=False)

    def plain():
        seen = Frame(ours.encode(frames), frames)
        return stream.label_frames(frozen.METHOD, model, (), seen, fixed)[1]

    def fused():
        nonlocal state
        seen = Frame(ours.encode(frames), frames)
        state, labels = stream.label_frames(ditta.METHOD, model, state, seen, fixed)
        return labels

    timed = functools.partial(measurement.repeat, per_call=FRAMES_PER_CALL)
    result.plain_frame = timed(plain, jax.block_until_ready, task.frames)
    result.fused_frame = timed(fused, jax.block_until_ready, task.frames)


def main() -> None:
    """One rival's process."""
    folder, path, task = measurement.arguments()
    with jax.default_matmul_precision("default" if task.tf32 else "highest"):
        measurement.write(path, measure(workload.read(folder), task))


if __name__ == "__main__":
    main()

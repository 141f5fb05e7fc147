"""Rivals (a), (b) and (c): one process each, see `ditta_jax.benchmark.measurement`."""

import time

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from ditta_jax.benchmark import measurement, workload
from ditta_jax.benchmark.measurement import Measurement, Task
from ditta_jax.benchmark.torch_rivals import direct_step, fast_losses, fast_step
from ditta_jax.benchmark.torch_rivals.direct_decoder import Student
from ditta_jax.benchmark.workload import Workload
from ditta_jax.students.segformer.config import SegFormerConfig

COMPILED_BLOCK_ROWS = 240


class Direct:
    """Rival (a): dense attention, the encoder anew for both networks, full-resolution maps."""

    def __init__(self, work: Workload, device: torch.device):
        """Put weights and clip on the device."""
        self.student = student(work, device)
        self.frames = torch.from_numpy(work.frames).to(device)
        self.targets = [
            direct_step.Target(label, ids)
            for label, ids in zip(*_targets(work, device), strict=True)
        ]
        self.size = (work.size.height, work.size.width)
        self.adaptation = direct_step.Adaptation(self.student)

    def step(self, t: int) -> list[float]:
        """One step on frame t; its losses."""
        clip = self.frames[max(t - 1, 0) : t + 1]
        return self.adaptation.step(clip, self.targets[t]).row()[:3]

    def plain_frame(self) -> Tensor:
        """Encoder, decoder, full-resolution softmax, argmax."""
        p = direct_step.predict_plain(self.student, self.frames[1], self.size)
        return p.argmax(0)

    def fused_frame(self) -> Tensor:
        """Both frames through the encoder, dense attention, both branches."""
        return next(direct_step.predict_fused(self.student, list(self.frames), self.size, 1))


class Fast:
    """Rivals (b) and (c): our algorithm."""

    def __init__(self, work: Workload, device: torch.device, compiled: bool):
        """Put weights and clip on the device and encode the clip."""
        self.student = fast_step.use_flash_attention(student(work, device)).eval()
        self.frames = torch.from_numpy(work.frames).to(device)
        self.encoder = torch.compile(self.student.backbone) if compiled else self.student.backbone
        self.maps = self.encode(self.frames)
        size = work.size
        maps = (self.maps[0].shape[2], self.maps[0].shape[3])
        weight = self.student.decode_head.linear_pred.weight
        # Compiled, a block needs no temporaries, and every block is compiled anew: take few.
        rows = COMPILED_BLOCK_ROWS if compiled else fast_losses.BLOCK_ROWS
        source = (size.height, size.width)
        self.geometry = fast_losses.geometry(maps, size.input, source, weight, rows)
        self.targets = [
            direct_step.Target(*pair) for pair in zip(*_targets(work, device), strict=True)
        ]
        self.adaptation = fast_step.FastAdaptation(
            self.student, self.geometry, size.objects, compiled=compiled
        )
        self._plain = torch.compile(fast_step.plain_frame) if compiled else fast_step.plain_frame
        self._fused = torch.compile(fast_step.fused_frame) if compiled else fast_step.fused_frame
        with torch.no_grad():
            f = fast_step.embed(self.student.decode_head, self.maps)
            self.carry = (f[0], self.student.decode_head.classify(f)[0])

    @torch.no_grad()
    def encode(self, frames: Tensor) -> list[Tensor]:
        """Encoder features."""
        return self.encoder(frames)

    def step(self, t: int) -> list[float]:
        """One step on frame t; its losses."""
        maps = [x[max(t - 1, 0) : t + 1] for x in self.maps]
        return self.adaptation.step(maps, self.targets[t]).row()[:3]

    def plain_frame(self) -> Tensor:
        """Encoder, decoder, argmax in blocks of rows."""
        return self._plain(self.student, self.frames[1], self.geometry)

    def fused_frame(self) -> Tensor:
        """The frame's encoder, fusion with what the last frame left, both branches."""
        return self._fused(self.student, self.frames[1], self.carry, self.geometry)[0]


def student(work: Workload, device: torch.device) -> Student:
    """The workload's student."""
    config = SegFormerConfig.published(work.size.student, work.size.classes)
    result = Student(config.channels, config.depths, work.size.classes)
    state = {key: torch.from_numpy(value) for key, value in work.weights.items()}
    state["decode_head.linear_fuse.bn.num_batches_tracked"] = torch.tensor(0)
    result.load_state_dict(state)
    return result.to(device)


def _targets(work: Workload, device: torch.device) -> tuple[Tensor, Tensor]:
    labels, ids = (torch.from_numpy(x).long().to(device) for x in (work.labels, work.object_ids))
    return labels, ids


def measure(work: Workload, task: Task) -> Measurement:
    """Losses, times and memory."""
    torch.set_num_threads(task.threads)
    torch.set_float32_matmul_precision("high" if task.tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = task.tf32  # on by default, for convolutions
    device = torch.device("cuda" if task.device == "gpu" else "cpu")
    name = torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
    result = Measurement(task.rival, f"torch {torch.__version__}", name)

    def ready(_: object) -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()

    rival: Direct | Fast
    if task.rival == "torch-direct":
        rival = Direct(work, device)
    else:
        rival = Fast(work, device, compiled=task.rival == "torch-compiled")
    rows = []
    for step in range(measurement.PASSES * len(work.frames)):
        started = time.perf_counter()
        rows.append(rival.step(step % len(work.frames)))
        if step == 1:
            result.first_step = time.perf_counter() - started
    result.losses = measurement.rows(rows)
    result.step = measurement.repeat(lambda: rival.step(1), ready, task.steps, warm=True)
    if isinstance(rival, Fast):
        one = rival.frames[:1]
        result.encode = measurement.repeat(lambda: rival.encode(one), ready, task.steps)
    result.peak_bytes = (
        torch.cuda.max_memory_allocated()
        if device.type == "cuda"
        else measurement.peak_resident_bytes()
    )
    if task.frames:
        rival.student.eval()
        result.plain_frame = measurement.repeat(rival.plain_frame, ready, task.frames)
        result.fused_frame = measurement.repeat(rival.fused_frame, ready, task.frames)
    square = torch.ones(measurement.MATMUL_SIDE, measurement.MATMUL_SIDE, device=device)
    result.matmul_flops = measurement.matmul_flops(lambda: square @ square, ready)
    if task.rival == "torch-eager":
        with FlopCounterMode(display=False) as counter:
            rival.step(1)
        result.step_flops = float(counter.get_total_flops())
    return result


def main() -> None:
    """One rival's process."""
    folder, path, task = measurement.arguments()
    measurement.write(path, measure(workload.read(folder), task))


if __name__ == "__main__":
    main()

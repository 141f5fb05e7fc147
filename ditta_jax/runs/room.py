"""How many videos a device's memory has room for, estimated before it is used.

From shapes alone: nothing is computed or compiled. Counted are weights, frames, features, what
stage C carries, and what the programs of DiTTA and of the frozen student work with. Methods that
move the encoder's weights by themselves (`cotta`, `tent`) need more in stage C, which is not in it.
"""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from ditta_jax.algorithm import adaptation, inference, liveness, precision
from ditta_jax.algorithm.adaptation import TaughtFrames
from ditta_jax.algorithm.model import Model
from ditta_jax.algorithm.padding import OBJECT_BUCKETS, bucket
from ditta_jax.algorithm.settings import Settings
from ditta_jax.algorithm.video_mesh import devices_of
from ditta_jax.errors import UserError
from ditta_jax.methods import ditta, frozen, stream
from ditta_jax.methods.protocol import Fixed, Frame
from ditta_jax.runs.plan import Program, program_of
from ditta_jax.runs.preflight import Preview
from ditta_jax.runs.stages import CHUNK
from ditta_jax.runs.work import Work

GIGA = 10**9
_MEMINFO = Path("/proc/meminfo")


class Need(NamedTuple):
    """Bytes of a device while videos of one program are worked on.

    Attributes:
        fixed: the student's weights.
        each: of a video, in the stage that takes most.
        stage: which that is.
    """

    fixed: int
    each: int
    stage: str

    def of(self, videos: int) -> int:
        """With so many of them on the device at once."""
        return self.fixed + videos * self.each


class Room(NamedTuple):
    """What there is.

    Attributes:
        bytes: that each may use; None where it does not tell.
        devices: with a memory of their own.
        what: whose memory it is, in words.
    """

    bytes: int | None
    devices: int
    what: str


def room_of(parallel: Any) -> Room:
    """The memory of the devices that videos are spread over; of the machine, on a CPU.

    Args:
        parallel: the section of the configuration.
    """
    devices = devices_of(parallel.videos)
    on_cpu = devices[0].platform == "cpu"
    found = [_available()] if on_cpu else [_limit(device) for device in devices]
    if parallel.memory_gb > 0:
        return Room(round(parallel.memory_gb * GIGA), len(found), "parallel.memory_gb allows")
    known = [size for size in found if size is not None]
    what = "the machine has free" if on_cpu else "the device has"
    return Room(min(known, default=None), len(found), what)


class Estimate:
    """What the videos of a run need, and how many fit at once.

    Args:
        work: of the run.
        say: told of programs of which fewer fit than the settings say.

    Attributes:
        limits: whether what does not fit is split or refused; not so one at a time on a CPU, unless
            `parallel.memory_gb` is set: what a machine calls free is no limit.
    """

    def __init__(self, work: Work, say: Callable[[str], None] = lambda text: None) -> None:
        self._config, parallel = work.config, work.config.parallel
        self._videos, self._room, self._say = parallel.videos, room_of(parallel), say
        on_cpu = jax.default_backend() == "cpu"
        self.limits = parallel.videos > 1 or not on_cpu or parallel.memory_gb > 0
        adapts = any(isinstance(method, ditta.Ditta) for method in work.methods.values())
        objects = bucket(work.config.teacher.max_objects, OBJECT_BUCKETS) if adapts else 0
        self._need = functools.cache(
            functools.partial(need_of, work.model, work.settings, objects=objects)
        )
        self._found: dict[Program, int] = {}

    def fits(self, program: Program) -> int:
        """How many of a program's videos are worked on at once.

        Raises:
            UserError: not even one fits; with the numbers.
        """
        if not self.limits:
            return self._videos
        if program not in self._found:
            found = fitting(program, self._need(program), self._videos, self._room)
            self._found[program] = found
            if found < self._videos:
                (H, W), _, length = program
                self._say(
                    f"memory: {found} instead of {self._videos} videos of {H}x{W} side by side, "
                    f"with a warm-up of {length} frames: {self.words(program, self._videos)}"
                )
        return self._found[program]

    def checked(self, preview: Preview) -> Preview:
        """What is known of a video, with a fault where not even one like it fits."""
        if preview.faults:
            return preview
        try:
            self.fits(program_of(preview.size, preview.warm_up, self._config))
        except UserError as error:
            return preview._replace(faults=(str(error),))
        return preview

    def words(self, program: Program, videos: int | None = None) -> str:
        """What so many videos at once need, or as many as fit, and what there is."""
        need, room = self._need(program), self._room
        most = -(-(videos or self.fits(program)) // room.devices)
        said = f"about {need.of(most) / GIGA:.2f} GB with {most} at once (stage {need.stage})"
        return said if room.bytes is None else f"{said}, {room.what} {room.bytes / GIGA:.2f} GB"


def fitting(program: Program, need: Need, videos: int, room: Room) -> int:
    """How many of up to `videos` videos fit at once.

    Raises:
        UserError: none does.
    """
    if room.bytes is None:
        return videos
    on_each = (room.bytes - need.fixed) // max(need.each, 1)
    if on_each < 1:
        (H, W), _, length = program
        raise UserError(
            f"{H}x{W} and a warm-up of {length} frames need about {need.of(1) / GIGA:.2f} GB in "
            f"stage {need.stage}, and {room.what} {room.bytes / GIGA:.2f} GB; a smaller "
            "input.scale or warmup.percent, or precision.compute=bfloat16, needs less; this is an "
            "estimate, which parallel.memory_gb overrules"
        )
    return min(videos, on_each * room.devices)


def need_of(model: Model, settings: Settings, program: Program, *, objects: int) -> Need:
    """What the programs of a video need.

    Args:
        model: the student.
        settings: of all stages.
        program: sizes.
        objects: most that a frame shows; 0 where nothing adapts.
    """
    with precision.policy(settings.compute, settings.matmul):
        return _need_of(model, settings, program, objects)


def _need_of(model: Model, settings: Settings, program: Program, objects: int) -> Need:
    encoder, network = _shapes((model.encoder, model.network))
    frames = _array((CHUNK, *program.inner, 3), model.compute)
    seen = _array(frames.shape, "uint8")
    recomputed = settings.stochastic_depth > 0 or "encoder" in model.network.params
    features = jax.eval_shape(
        functools.partial(inference.encode, model.graph), encoder, network, frames
    )
    kept = frames if recomputed else features
    kept = jax.tree.map(lambda x: _array((program.length, *x.shape[1:]), x.dtype), kept)
    stages = {
        "A": _bytes((seen, frames, kept)) + _labelling(model, program, encoder, network, frames),
        "D": _bytes((seen, frames)) + _segmenting(model, program, encoder, network, frames),
    }
    if objects:
        stages["C"] = _adapting(model, settings, program, kept, encoder, network, objects)
    stage = max(stages, key=lambda name: stages[name])
    return Need(_bytes((encoder, network)), stages[stage], stage)


def _labelling(model: Model, program: Program, encoder, network, frames) -> int:
    """What stage A works with on a chunk."""

    @jax.jit
    def stage_a(encoder, network, frames):
        parts = model.graph, encoder, network
        levels = inference.encode(*parts, frames)
        return levels, inference.label_plain(*parts, levels, program.size, program.inner)

    return liveness.temporaries(stage_a.trace(encoder, network, frames))


def _segmenting(model: Model, program: Program, encoder, network, frames) -> int:
    """What stage D works with on a chunk, its adapted network included."""
    fixed = Fixed(program.size, program.inner, threshold=1.0, online=False)

    @jax.jit
    def stage_d(encoder, network, adapted, frames):
        own = model._replace(encoder=encoder, network=network)
        seen = Frame(inference.encode(model.graph, encoder, network, frames), frames)
        last = jax.tree.map(lambda x: x[0], seen.features)
        before = inference.previous_frame(model.graph, encoder, network, last, exists=True)
        state = ditta.State(adapted, before)
        labels = stream.label_frames(ditta.METHOD, own, state, seen, fixed)
        return labels, stream.label_frames(frozen.METHOD, own, (), seen, fixed)

    return _bytes(network) + liveness.temporaries(stage_d.trace(encoder, network, network, frames))


def _adapting(
    model: Model, settings: Settings, program: Program, kept, encoder, network, objects: int
) -> int:
    """What stage C holds of a video and works with."""
    maps = _array((program.length, *program.size), "uint8")
    warm_up = TaughtFrames(kept, maps, maps, _array((program.length,), "bool"))
    new_state = functools.partial(adaptation.new_state, objects=objects, train=settings.train)
    state = jax.eval_shape(lambda network: new_state(network, key=jax.random.key(0)), network)
    hyper = _shapes(jax.tree.map(jnp.asarray, settings.hyperparameters()))
    compiled = settings.compiled(program.inner)
    step = adaptation.adapt.trace(state, model.graph, encoder, warm_up, hyper, compiled, 1)
    return _bytes((state, warm_up)) + liveness.temporaries(step)


def _array(shape: Sequence[int], dtype: Any) -> Any:
    """A stand-in for an array, whose type annotations it does not have."""
    return jax.ShapeDtypeStruct(tuple(shape), jnp.dtype(dtype))


def _shapes(tree: PyTree) -> PyTree:
    return jax.tree.map(lambda x: _array(x.shape, x.dtype), tree)


def _bytes(tree: PyTree) -> int:
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))


def _limit(device: jax.Device) -> int | None:
    """What a device's allocator may take, bytes."""
    return (device.memory_stats() or {}).get("bytes_limit")


def _available() -> int | None:
    """What the machine can give without swapping, bytes; None where it does not say."""
    try:
        lines = _MEMINFO.read_text().splitlines()
    except OSError:  # another system
        return None
    found = [line.split() for line in lines if line.startswith("MemAvailable:")]
    return int(found[0][1]) * 1024 if found else None

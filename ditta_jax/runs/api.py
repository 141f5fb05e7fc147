"""DiTTA in a notebook: functions on arrays, without configuration; `ditta_jax` re-exports them.

import ditta_jax as dj

student = dj.load_student("embedded")
tracks = dj.ask_teacher(student, frames[:6])
adapted = dj.adapt_student(student, frames[:6], tracks, dj.Settings(lr=1e-4))
labels = dj.segment(adapted.student, frames[6:], after=frames[5])
dj.score(labels, truth[6:], num_classes=11)
"""

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from ditta_jax.algorithm import precision
from ditta_jax.algorithm.model import adapted_student, take_apart
from ditta_jax.algorithm.settings import Settings
from ditta_jax.data.video import FrameSequence
from ditta_jax.errors import UserError
from ditta_jax.labels import IGNORE
from ditta_jax.methods import ditta, frozen
from ditta_jax.methods.protocol import MASKLETS, Prepared
from ditta_jax.metrics.scores import WINDOWS, VideoScores
from ditta_jax.runs import stages
from ditta_jax.runs.requests import request_of
from ditta_jax.runs.segmentation import Clocks, Rest, segment_rest
from ditta_jax.students import checkpoint
from ditta_jax.students.card import StudentCard
from ditta_jax.students.student import Student as StudentModule
from ditta_jax.teacher import cache, process
from ditta_jax.teacher.card import card_of
from ditta_jax.teacher.tracks import Tracks

Video = UInt8[np.ndarray, "T H W 3"]
Labels = UInt8[np.ndarray, "T H W"]


@dataclasses.dataclass(frozen=True, eq=False)
class Student:
    """A student with its weights.

    Attributes:
        module: encoder, decoder and temporal fusion, a Flax module.
        card: sizes, classes, colours, where it came from.
    """

    module: StudentModule
    card: StudentCard

    @property
    def classes(self) -> tuple[str, ...]:
        """C names, in label order."""
        return self.card.classes

    @property
    def palette(self) -> tuple[tuple[int, int, int], ...]:
        """C colours, RGB."""
        return self.card.palette

    def save(self, path: str | Path) -> None:
        """Write a checkpoint that `load_student` and every command reads.

        Raises:
            UserError: something else lies at the path, or it cannot be written.
        """
        checkpoint.save(path, self.module, self.card)


@dataclasses.dataclass(frozen=True, eq=False)
class Adapted:
    """What adaptation to a video gave.

    Attributes:
        student: the adapted one, in float32.
        losses: one row per step: pass, frame, distill, distill_fused, contrast, total; NaN where
            a step has no such term.
    """

    student: Student
    losses: list[dict[str, float]]

    def save(self, path: str | Path) -> None:
        """Write the adapted student (`Student.save`)."""
        self.student.save(path)


def load_student(path: str | Path) -> Student:
    """Read a student.

    Args:
        path: a checkpoint folder, or "embedded" for the demo student of the package.

    Raises:
        UserError: no such folder, or not a student of this program.
    """
    return Student(*checkpoint.load(path))


def ask_teacher(
    student: Student,
    frames: Video,
    teacher: str = "embedded",
    checkpoint: str | Path = "",
    settings: Settings | None = None,
    *,
    thresholds: tuple[float, float] = (0.8, 0.8),
    max_objects: int = 100,
    mask_threshold: float | None = None,
    device: str = "auto",
    dtype: str = "float32",
) -> Tracks:
    """Have a teacher track what the student is sure of (stages A and B).

    The teacher is a process of its own, with PyTorch, which ends with this call.

    Args:
        student: whose most reliable pixels are the prompts.
        frames: the warm-up frames, RGB.
        teacher: "embedded", or a SAM 2 configuration ("configs/sam2.1/sam2.1_hiera_l.yaml").
        checkpoint: the file of its weights; none for "embedded".
        settings: of the student's computation.
        thresholds: peak reliability for a prompt on frame 0 and on later frames, 0 to 1.
        max_objects: prompted in all, at most.
        mask_threshold: logit above which a pixel is in a mask; None: the teacher's own, else 0.
        device: of the teacher: "auto", "cpu", "cuda", …
        dtype: it computes in: "float32" or "bfloat16".

    Returns:
        the objects' masks on these frames.

    Raises:
        UserError: frames of another type or shape, or the teacher failed.
    """
    settings = settings or Settings()
    _check_frames(frames)
    with precision.policy(settings.compute, settings.matmul):
        model = take_apart(student.module, settings.compute)
        warm_up = stages.label_warm_up(model, frames, settings, "frames")
    names = tuple(f"{t:05d}" for t in range(len(frames)))
    request = request_of(warm_up, names, model.num_classes, thresholds, max_objects)
    card = card_of(teacher)
    if mask_threshold is None:
        mask_threshold = card.mask_threshold or 0.0
    asked = _Teacher(teacher, str(checkpoint), device, dtype, mask_threshold)
    with tempfile.TemporaryDirectory(prefix="ditta-") as folder:
        entry = cache.write_request(folder, request, _ArrayFrames(frames))
        failed = process.run_teacher(folder, asked, [entry])
        if failed:
            raise UserError(f"the teacher failed: {next(iter(failed.values()))}")
        return Tracks.from_cache(entry)._replace(lr=card.lr)


def adapt_student(
    student: Student,
    frames: Video,
    tracks: Tracks,
    settings: Settings | None = None,
    name: str = "",
) -> Adapted:
    """Adapt a student to a video's first frames (stages A to C; Eq. 2 and 4 to 8).

    Args:
        student: not changed.
        frames: the warm-up frames, RGB.
        tracks: masks of objects on these frames.
        settings: of all stages; where `lr` is None, that of the tracks' teacher holds.
        name: of the video: random numbers depend on it and on the seed.

    Raises:
        UserError: frames or tracks of another type or shape; nothing to learn from; losses that
            are not finite.
    """
    settings = settings or Settings()
    _check_frames(frames)
    if tracks.length != len(frames) or tracks.size != frames.shape[1:3]:
        raise UserError(
            f"tracks: masks of {tracks.length} frames of {list(tracks.size)}, but frames are "
            f"{len(frames)} of {list(frames.shape[1:3])}"
        )
    if settings.lr is None:
        settings = dataclasses.replace(settings, lr=tracks.lr)
    with precision.policy(settings.compute, settings.matmul):
        model = take_apart(student.module, settings.compute, settings.train)
        warm_up = stages.label_warm_up(model, frames, settings, name)
        warm_up = warm_up._replace(masks={MASKLETS: tracks})
        prepared = ditta.METHOD.prepare(model, warm_up, settings)
        if prepared.kept_frozen is not None:
            raise UserError(f"adapt_student: {prepared.kept_frozen}")
        assert prepared.network is not None
        network = adapted_student(student.module, prepared.network)
    source = {**student.card.source, "adapted": {"method": "ditta", "video": name}}
    card = student.card._replace(source=source)
    return Adapted(Student(network, card), [dict(row) for row in prepared.losses])


def segment(
    student: Student,
    frames: Video,
    after: UInt8[np.ndarray, "H W 3"] | None = None,
    settings: Settings | None = None,
    *,
    fuse: bool = True,
) -> Labels:
    """Segment consecutive frames with everything frozen (stage D, Eq. 3).

    Args:
        student: adapted; of one that never was, the temporal fusion is untrained: `fuse=False`.
        frames: RGB.
        after: the frame before the first, which fusion looks back at; without it, the first frame
            has the plain branch only.
        settings: of all stages.
        fuse: `False` for the image model alone, frame by frame.

    Returns:
        class per pixel.

    Raises:
        UserError: frames of another type or shape, or output that is not finite.
    """
    settings = settings or Settings()
    _check_frames(frames)
    if after is not None and (after.shape != frames.shape[1:] or after.dtype != np.uint8):
        raise UserError(
            f"after: must be uint8 {list(frames.shape[1:])}, one frame, not {after.dtype} "
            f"{list(after.shape)}"
        )
    with precision.policy(settings.compute, settings.matmul):
        model = take_apart(student.module, settings.compute)
        before = frames[:1] if after is None else after[None]
        start = stages.label_warm_up(model, before, settings, scored=after is None)
        method = ditta.METHOD if fuse else frozen.METHOD
        prepared = Prepared(ditta.first_state(model, model.network, start) if fuse else ())
        size = (frames.shape[1], frames.shape[2])
        rest = Rest({method.name: prepared}, frames, 0, Clocks([method]))
        found = segment_rest(model, [method], rest, size, settings)
        return np.stack([out.labels[method.name] for out in found])


def score(
    labels: Labels, truth: Labels, num_classes: int, windows: Sequence[int] = WINDOWS
) -> dict[str, float]:
    """Scores of one video's labels (SPEC "Metrics").

    Args:
        labels: predicted classes, below C.
        truth: classes, 255 where there is none.
        num_classes: C.
        windows: lengths n of mVC_n, frames.

    Returns:
        "mIoU", "wIoU" and "mVC8", "mVC16" (one per window) as fractions; NaN where undefined.

    Raises:
        UserError: arrays of another type or shape, or a class that does not exist.
    """
    for name, maps in (("labels", labels), ("truth", truth)):
        if not isinstance(maps, np.ndarray) or maps.ndim != 3 or maps.dtype != np.uint8:
            raise UserError(f"{name}: must be uint8 [frame, height, width], not {_what(maps)}")
    if labels.shape != truth.shape:
        raise UserError(f"labels are {list(labels.shape)}, truth is {list(truth.shape)}")
    if labels.size and labels.max() >= num_classes:
        raise UserError(f"labels: class {labels.max()} where there are {num_classes} classes")
    named = truth[truth != IGNORE]
    if named.size and named.max() >= num_classes:
        raise UserError(f"truth: class {named.max()} where there are {num_classes} classes")
    count = VideoScores(num_classes, tuple(windows))
    for prediction, label in zip(labels, truth, strict=True):
        count.update(prediction, label)
    return count.finish().result()


class _ArrayFrames(FrameSequence):
    """Frames of an array, as the teacher's cache takes them."""

    def __init__(self, frames: Video) -> None:
        self._frames = frames

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> np.ndarray:
        return self._frames[index]

    def frame_name(self, index: int) -> str:
        return f"{index:05d}"


@dataclasses.dataclass
class _Teacher:
    """What `process.run_teacher` reads of its settings."""

    config: str
    checkpoint: str
    device: str
    dtype: str
    mask_threshold: float
    patience: float = 600.0
    python: str = ""
    run: bool = True
    target: str = ""
    threads: int = 0
    workers: int = 1


def _check_frames(frames: object) -> None:
    fits = isinstance(frames, np.ndarray) and frames.dtype == np.uint8 and frames.ndim == 4
    if not fits or frames.shape[3] != 3 or 0 in frames.shape:  # type: ignore[attr-defined]
        raise UserError(f"frames: must be uint8 [frame, height, width, 3], not {_what(frames)}")


def _what(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {list(value.shape)}"
    return type(value).__name__

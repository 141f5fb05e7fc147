"""What all videos of a run share: student, data, folder of results."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ml_collections import ConfigDict

from ditta_jax.algorithm.model import Model, take_apart
from ditta_jax.algorithm.settings import Settings
from ditta_jax.data.sources import open_videos
from ditta_jax.data.tfds_videos import data_classes
from ditta_jax.data.video import Video, Videos
from ditta_jax.errors import UserError
from ditta_jax.methods.protocol import MASKLETS, TRACKS, Method
from ditta_jax.runs import settings as run_settings
from ditta_jax.runs.run_folder import RunFolder
from ditta_jax.runs.scoring import Scoring, scoring_of
from ditta_jax.runs.shared_labels import SharedLabels
from ditta_jax.runs.timeline import Timeline
from ditta_jax.runs.trained import Trained, trained_of
from ditta_jax.students import checkpoint
from ditta_jax.students.checkpoint import StudentCard
from ditta_jax.students.student import Student, with_radius
from ditta_jax.teacher import ground_truth, process


class Work(NamedTuple):
    """Everything the videos share.

    Attributes:
        config: the settings as a person gave them; what was left unset is the teacher's own.
        settings: of the computation.
        methods: by name, in order.
        student: as loaded.
        card: what its checkpoint says of it.
        model: the student, taken apart.
        fingerprint: of the student's weights.
        videos: opened one by one.
        classes: their names.
        palette: their colours.
        scoring: as which classes predictions are scored.
        run: the folder of results.
        cache: the folder that student and teacher share.
        teacher: who it is, its weights by their digest; empty where the ground truth stands in
            and where no method needs masks.
        timeline: when each of them worked.
        shared: stage A's results, where several runs share them.
        trained: the student of `student.supervised`; None where no method needs it.
    """

    config: ConfigDict
    settings: Settings
    methods: dict[str, Method]
    student: Student
    card: StudentCard
    model: Model
    fingerprint: str
    videos: Videos
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    scoring: Scoring
    run: RunFolder
    cache: Path
    teacher: dict[str, str]
    timeline: Timeline
    shared: SharedLabels | None = None
    trained: Trained | None = None

    def split(self, frames: int) -> tuple[int, int]:
        """Length of the warm-up and index of the first scored frame, of so many frames."""
        percent = self.config.warmup.percent
        return (
            run_settings.warm_up_length(frames, percent),
            run_settings.first_scored(frames, percent),
        )

    def first_scored(self, video: Video) -> int:
        """Index of the first frame of stage D."""
        return run_settings.first_scored(len(video.frames), self.config.warmup.percent)

    def warm_up_length(self, video: Video) -> int:
        """T_w."""
        return run_settings.warm_up_length(len(video.frames), self.config.warmup.percent)


def open_work(config: ConfigDict, shared: SharedLabels | None = None) -> Work:
    """Load the student, open the videos and the folder of results.

    Args:
        config: the settings as a person gave them.
        shared: stage A's results that several runs share.

    Raises:
        UserError: student, data and settings do not fit together.
    """
    config = run_settings.with_teachers_own(config)
    student, card = checkpoint.load(config.student.checkpoint)
    if config.fusion.radius >= 0:
        student = with_radius(student, config.fusion.radius)
        card = card._replace(config=student.config)
    known = data_classes(config.data)
    classes, palette = card.classes, card.palette
    if any(config.classes):
        classes = tuple(config.classes)
    if len(config.palette) > 1:
        palette = config.palette
    if known is not None and known[0] != classes:
        raise UserError(
            f"data.builder: {config.data.builder} has other classes ({', '.join(known[0])}) than "
            f"the student ({', '.join(classes)})"
        )
    if not len(classes) == len(palette) == card.config.num_classes:
        raise UserError(
            f"classes: the student has {card.config.num_classes} classes; {len(classes)} names "
            f"and {len(palette)} palette colours are given"
        )
    scoring = scoring_of(config.data.class_map, classes, palette)
    videos = open_videos(config.data, scoring.truth_classes, scoring.truth_palette)
    if len(videos) == 0:
        raise UserError("data: no videos")
    settings = run_settings.settings_of(config)
    methods = run_settings.methods_of(config)
    return Work(
        config,
        settings,
        methods,
        student,
        card,
        take_apart(student, settings.compute, settings.train),
        checkpoint.fingerprint(student),
        videos,
        classes,
        palette,
        scoring,
        RunFolder(Path(config.output) / config.name, config.to_dict(), scoring.classes, palette),
        Path(config.teacher.cache or Path(config.output) / "teacher_cache"),
        _teacher_of(config.teacher, methods),
        Timeline(),
        shared,
        trained_of(config.student, student, card, methods, settings.compute),
    )


def needs_masks(methods: Mapping[str, Method]) -> frozenset[str]:
    """What the methods together need of the teacher."""
    return frozenset().union(*(m.needs for m in methods.values())) & {MASKLETS, TRACKS}


def _teacher_of(teacher: ConfigDict, methods: Mapping[str, Method]) -> dict[str, str]:
    if not needs_masks(methods) or teacher.config == ground_truth.NAME:
        return {}
    return process.teacher_identity(teacher)

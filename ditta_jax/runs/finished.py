"""Which videos an earlier run has finished: their records, and what these follow from."""

from collections.abc import Sequence
from typing import Any

from ditta_jax.data.video import Video
from ditta_jax.errors import UserError
from ditta_jax.methods import registry
from ditta_jax.runs import preflight, record_key, teaching, tensorboard
from ditta_jax.runs.failures import Failures
from ditta_jax.runs.progress import RunProgress
from ditta_jax.runs.video_record import VideoRecord
from ditta_jax.runs.work import Work, needs_masks


def finished_before(
    work: Work, names: Sequence[str], failures: Failures, progress: RunProgress
) -> tuple[dict[str, VideoRecord], dict[str, dict]]:
    """What earlier runs left behind of some videos and that holds for this one.

    Returns:
        records of the finished videos, by name; and of the others that can be opened, what their
        results will follow from.
    """
    records, parts = {}, {}
    for name in names:
        with failures.of(name):
            video = work.videos.named(name)
            check_video(work, video)
            parts[name] = record_parts(work, video)
            record = work.run.load_finished(
                name, parts[name], lambda entry: teaching.digest_in_cache(work, entry)
            )
            if record is not None:
                records[name] = record
                progress.skip(name)
    return records, parts


def check_video(work: Work, video: Video) -> None:
    """Refuse a video of which can be known at the start that it cannot be done."""
    found = preflight.look(video, work.split)
    if found.faults:
        raise UserError(found.message)


def record_parts(work: Work, video: Video) -> dict[str, Any]:
    """All that the result of a video follows from, by name."""
    teacher = work.teacher
    if needs_masks(work.methods) and not teacher:  # the ground truth stands in
        truth = video.labels.digest(0) if video.labels is not None else ""
        teacher = {"ground truth": truth}
    table = work.scoring.table
    scored_as = {} if table is None else {"the class table": record_key.digest(table.tolist())}
    trained = {"the trained student's weights": work.trained.fingerprint} if work.trained else {}
    versions = {f"version of {m.title}": m.version for m in work.methods.values()}
    told = {"the gradient's norms": True} if work.settings.gradient_norm else {}
    return {
        "format of records": record_key.FORMAT,
        **told,
        **versions,
        "the student's weights": work.fingerprint,
        **trained,
        "the classes": record_key.digest([work.classes, work.palette]),
        **scored_as,
        **record_key.video_parts(video, work.warm_up_length(video), work.first_scored(video)),
        **{f"teacher's {name}": value for name, value in teacher.items()},
        **record_key.settings_parts(_without_unused_methods(work)),
    }


def _without_unused_methods(work: Work) -> dict[str, Any]:
    """The settings, without the sections of methods that the run does not use."""
    unused = set(registry.known()) - set(work.methods)
    return {key: value for key, value in work.config.to_dict().items() if key not in unused}


def save_finished(
    work: Work, record: VideoRecord, parts: dict, entries: teaching.Entries | None
) -> None:
    """Mark a video as done: its files are written, and its record vouches for them."""
    names = [entry.name for entry in (entries or {}).values()]
    digests = {name: teaching.digest_in_cache(work, name) for name in names}
    masks = {name: digest for name, digest in digests.items() if digest}
    report = work.config.report
    if report.tensorboard:
        tensorboard.write_video(work.run.path, record.name, record.scores, report.reference)
    work.run.save_finished(record, parts, masks)

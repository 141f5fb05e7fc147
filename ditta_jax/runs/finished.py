"""Which videos an earlier run has finished: their records, and what these follow from."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from ditta_jax.data.video import Video
from ditta_jax.errors import UserError
from ditta_jax.methods import registry
from ditta_jax.methods.protocol import TRAINED, Method
from ditta_jax.runs import preflight, record_key, teaching, tensorboard
from ditta_jax.runs.failures import Failures
from ditta_jax.runs.progress import RunProgress
from ditta_jax.runs.taken_over import TakenOver
from ditta_jax.runs.video_record import VideoRecord
from ditta_jax.runs.work import Work, needs_masks


class Due(NamedTuple):
    """A video that is to be done.

    Attributes:
        parts: what its result will follow from.
        followed: of each method, the digest of what its own part of it will.
        taken: methods that an earlier run has done, under the same settings; None: none.
    """

    parts: dict[str, Any]
    followed: dict[str, str]
    taken: TakenOver | None


def finished_before(
    work: Work, names: Sequence[str], failures: Failures, progress: RunProgress
) -> tuple[dict[str, VideoRecord], dict[str, Due]]:
    """What earlier runs left behind of some videos and that holds for this one.

    Returns:
        records of the finished videos, by name; and the others that can be opened.
    """

    def masks_now(entry: str) -> str | None:
        return teaching.digest_in_cache(work, entry)

    records, due = {}, {}
    for name in names:
        with failures.of(name):
            video = work.videos.named(name)
            check_video(work, video)
            of_all, of_methods = _parts(work, video)
            parts = _together(of_all, of_methods)
            record = work.run.load_finished(name, parts, masks_now)
            if record is not None:
                records[name] = record
                progress.skip(name)
                continue
            followed = {m: record_key.digest(of_all | own) for m, own in of_methods.items()}
            due[name] = Due(parts, followed, work.run.take_over(name, followed, masks_now))
    return records, due


def check_video(work: Work, video: Video) -> None:
    """Refuse a video of which can be known at the start that it cannot be done."""
    found = preflight.look(video, work.split)
    if found.faults:
        raise UserError(found.message)


def record_parts(work: Work, video: Video) -> dict[str, Any]:
    """All that the result of a video follows from, by name."""
    return _together(*_parts(work, video))


def _together(of_all: dict[str, Any], of_methods: dict[str, dict[str, Any]]) -> dict[str, Any]:
    together = dict(of_all)
    for own in of_methods.values():
        together |= own
    return together


def _parts(work: Work, video: Video) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """What every method's result follows from, and what each one's does beside that."""
    table = work.scoring.table
    scored_as = {} if table is None else {"the class table": record_key.digest(table.tolist())}
    told = {"the gradient's norms": True} if work.settings.gradient_norm else {}
    config = work.config.to_dict()
    sections = {name: config.pop(name) for name in registry.known() if name in config}
    of_all = {
        "format of records": record_key.FORMAT,
        **told,
        "the student's weights": work.fingerprint,
        "the classes": record_key.digest([work.classes, work.palette]),
        **scored_as,
        **record_key.video_parts(video, work.warm_up_length(video), work.first_scored(video)),
        **record_key.settings_parts(config),
    }
    teacher = _teacher(work, video)
    of_methods = {}
    for name, method in work.methods.items():
        settings = {name: sections[name]} if name in sections else {}
        own = {f"version of {method.title}": method.version}
        own |= record_key.settings_parts(settings)
        own |= teacher if needs_masks({name: method}) else {}
        own |= _weights_of_its_own(work, method)
        of_methods[name] = own
    return of_all, of_methods


def _teacher(work: Work, video: Video) -> dict[str, Any]:
    """Whose masks a video's are, where a method needs any."""
    teacher = work.teacher
    if needs_masks(work.methods) and not teacher:  # the ground truth stands in
        teacher = {"ground truth": video.labels.digest(0) if video.labels is not None else ""}
    return {f"teacher's {name}": value for name, value in teacher.items()}


def _weights_of_its_own(work: Work, method: Method) -> dict[str, Any]:
    if work.trained is None or TRAINED not in method.needs:
        return {}
    return {"the trained student's weights": work.trained.fingerprint}


def save_finished(
    work: Work, record: VideoRecord, due: Due, entries: teaching.Entries | None
) -> None:
    """Mark a video as done: its files are written, and its record vouches for them."""
    names = [entry.name for entry in (entries or {}).values()]
    digests = {name: teaching.digest_in_cache(work, name) for name in names}
    masks = {name: digest for name, digest in digests.items() if digest}
    report = work.config.report
    if report.tensorboard:
        tensorboard.write_video(work.run.path, record.name, record.scores, report.reference)
    work.run.save_finished(record, due.parts, masks, due.followed)

"""Turn an image segmentation model into a video one.

    python -m ditta_jax.adapt --config FILE

Warm-up then freeze, for every video on its own (DiTTA, CVPR 2026):

    A  the frozen student labels the first frames and says how sure it is
    B  SAM2, in a process of its own, tracks what the student is sure of; objects vote on a class
    C  decoder and temporal fusion learn from those masks, a few passes over the first frames
    D  the rest of the video is segmented with everything frozen

Example: python -m ditta_jax.adapt --config configs/demo.py --config.tta.iters=3
"""

import functools
import time
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ml_collections import ConfigDict

from ditta_jax.configuration import from_command_line
from ditta_jax.errors import UserError, run
from ditta_jax.names import fault_of

if TYPE_CHECKING:  # the settings are read before these, and what they import, are loaded
    from ditta_jax.data.sources import Videos
    from ditta_jax.data.video import Video
    from ditta_jax.metrics.scores import Scores
    from ditta_jax.runs import stages
    from ditta_jax.runs.progress import RunProgress
    from ditta_jax.runs.run_folder import RunFolder
    from ditta_jax.runs.video_record import VideoRecord


def main() -> None:
    """Read the settings and adapt to every video."""
    config, _ = from_command_line("ditta_jax.adapt")
    check_settings(config)

    from ditta_jax.algorithm import precision
    from ditta_jax.runs import devices

    devices.prepare(compute=config.precision.compute, matmul=config.precision.matmul)
    with precision.policy(**config.precision):
        adapt_videos(config)


def check_settings(config: ConfigDict) -> None:
    """Report a value that does not exist before any work is done."""
    from ditta_jax.runs import stages

    stages.settings(config, (0, 0))
    if fault := fault_of(config.name):
        raise UserError(f"name: {config.name!r} cannot name the folder of results: {fault}")
    if not 0 < config.warmup.percent <= 100:
        raise UserError(f"warmup.percent must be in (0, 100], not {config.warmup.percent}")
    if config.parallel.videos < 1:
        raise UserError(f"parallel.videos must be 1 or more, not {config.parallel.videos}")


class Work(NamedTuple):
    """Everything the videos share.

    Attributes:
        config: the settings.
        model: the student, taken apart.
        fingerprint: of the student's weights.
        videos: opened one by one.
        classes: their names.
        palette: their colours.
        run: the folder of results.
        cache: the folder that student and teacher share.
    """

    config: ConfigDict
    model: "stages.Model"
    fingerprint: str
    videos: "Videos"
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    run: "RunFolder"
    cache: Path


def adapt_videos(config: ConfigDict) -> dict:
    """Stages A to D on every video of the configuration; returns the content of result.json."""
    from ditta_jax.runs import results
    from ditta_jax.runs.progress import RunProgress

    work = open_work(config)
    with work.run.opened(work.videos.names):
        with RunProgress(len(work.videos)) as progress:
            records, parts = finished_before(work, progress)
        entries = ask_teacher(work, finished=records)
        with RunProgress(len(work.videos), done=len(records)) as progress:
            for group in groups_of_videos(work, finished=records):
                with progress.videos([video.name for video in group]):
                    for record in adapt_group(work, group, entries, progress):
                        save_finished(work, record, parts[record.name], entries[record.name])
                        records[record.name] = record
        result = work.run.write_result([records[name] for name in work.videos.names])
    if result["methods"]:
        results.print_table(result)
    print(f"results in {work.run.path}")
    return result


def open_work(config: ConfigDict) -> Work:
    """Load the student, open the videos and the folder of results."""
    from ditta_jax.data.sources import data_classes, open_videos
    from ditta_jax.runs import stages
    from ditta_jax.runs.run_folder import RunFolder
    from ditta_jax.students import checkpoint

    student, card = checkpoint.load(config.student.checkpoint)
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
    videos = open_videos(config.data, len(classes), palette)
    if len(videos) == 0:
        raise UserError("data: no videos")
    folder = Path(config.output) / config.name
    run_folder = RunFolder(folder, config.to_dict(), classes, palette)
    cache = Path(config.teacher.cache or Path(config.output) / "teacher_cache")
    model = stages.take_apart(student, config.precision.compute)
    fingerprint = checkpoint.fingerprint(student)
    return Work(config, model, fingerprint, videos, classes, palette, run_folder, cache)


# ============================================================================ A, B for all videos


def ask_teacher(work: Work, finished: Container[str] = ()) -> dict[str, Path]:
    """Write the requests of the videos, then have one teacher process answer what is missing.

    Returns:
        the entry in the cache of each video that is not finished.
    """
    from ditta_jax.runs import stages
    from ditta_jax.runs.progress import RunProgress
    from ditta_jax.teacher import ground_truth
    from ditta_jax.teacher.cache import write_request
    from ditta_jax.teacher.process import run_teacher

    entries: dict[str, Path] = {}
    todo = [(i, name) for i, name in enumerate(work.videos.names) if name not in finished]
    with RunProgress(len(todo)) as progress:
        for index, name in todo:
            with progress.video(name), progress.stage("A: prompts for the teacher") as advance:
                video = work.videos[index]
                frozen = stages.label_warm_up(work.model, video, work.config, advance)
                request = stages.request_of(video, frozen, len(work.classes), work.config)
                entries[name] = write_request(work.cache, request, video.frames)
    if work.config.teacher.config == ground_truth.NAME or not entries:
        return entries
    with RunProgress(len(todo)) as progress:

        def on_progress(event):
            if event["event"] == "start":
                progress.say(f"B: the teacher tracks objects in {event['total']} videos")
            elif event["event"] == "video":
                took = f"{event['objects']} objects in {event['seconds']:.1f} s"
                progress.skip(event["video"], took)

        failed = run_teacher(work.cache, work.config.teacher, list(entries.values()), on_progress)
    if failed:
        raise UserError(f"{len(failed)} videos without masks: {next(iter(failed.values()))}")
    return entries


# ============================================================================ which videos


def finished_before(
    work: Work, progress: "RunProgress"
) -> tuple[dict[str, "VideoRecord"], dict[str, dict]]:
    """What earlier runs left behind and that holds for this one.

    Returns:
        records of the finished videos, by name; and of all videos, what their results follow from.
    """
    from ditta_jax.teacher.cache import masks_in_cache

    masks_now = functools.partial(masks_in_cache, work.cache, teacher_identity_of(work))
    records, parts = {}, {}
    for index, name in enumerate(work.videos.names):
        parts[name] = record_parts(work, work.videos[index])
        record = work.run.load_finished(name, parts[name], masks_now)
        if record is not None:
            records[name] = record
            progress.skip(name)
    return records, parts


def record_parts(work: Work, video: "Video") -> dict:
    """All that the result of a video follows from, by name."""
    from ditta_jax.runs import record_key, stages

    T, percent = len(video.frames), work.config.warmup.percent
    warmup, first = stages.warm_up_length(T, percent), stages.first_scored(T, percent)
    teacher = teacher_identity_of(work)
    if not teacher:  # the ground truth stands in: what it says of the frames adapted on
        truth = video.labels.digest(0) if video.labels is not None else ""
        teacher = {"ground truth": truth}
    return {
        "format of records": record_key.FORMAT,
        "version of DiTTA": stages.METHOD_VERSION,
        "the student's weights": work.fingerprint,
        "the classes": record_key.digest([work.classes, work.palette]),
        **record_key.video_parts(video, warmup, first),
        **{f"teacher's {name}": value for name, value in teacher.items()},
        **record_key.settings_parts(work.config.to_dict()),
    }


def teacher_identity_of(work: Work) -> dict[str, str]:
    """Who the teacher is, its weights by their digest; empty for the ground truth."""
    from ditta_jax.teacher import ground_truth
    from ditta_jax.teacher.process import teacher_identity

    teacher = work.config.teacher
    return {} if teacher.config == ground_truth.NAME else teacher_identity(teacher)


def save_finished(work: Work, record: "VideoRecord", parts: dict, entry: Path) -> None:
    """Mark a video as done: its files are written, and its record vouches for them."""
    from ditta_jax.teacher.cache import masks_in_cache

    digest = masks_in_cache(work.cache, teacher_identity_of(work), entry.name)
    work.run.save_finished(record, parts, {"entry": entry.name, "digest": digest} if digest else {})


def groups_of_videos(work: Work, finished: Container[str]) -> Iterator[list["Video"]]:
    """The unfinished videos, `parallel.videos` at a time; a group is of one size.

    With the size of the video the network's input is of one size too.
    """
    group: list[Video] = []
    for index, name in enumerate(work.videos.names):
        if name in finished:
            continue
        video = work.videos[index]
        if group and video.size != group[0].size:
            yield group
            group = []
        group.append(video)
        if len(group) == work.config.parallel.videos:
            yield group
            group = []
    if group:
        yield group


# ============================================================================ a group, A → D


def adapt_group(
    work: Work, group: list["Video"], entries: dict[str, Path], progress: "RunProgress"
) -> Iterator["VideoRecord"]:
    """Adapt to videos of one size and segment the rest of each; yields their records.

    One video at a time but for C. The features of all are held at once, from A to the end of C.
    """
    from ditta_jax.runs import stages

    config = work.config
    for video in group:
        check_length(video, config)
    seconds: list[dict[str, float]] = [{} for _ in group]

    # ------------------------------------------------------------------ A: frozen student
    frozen = []
    for v, video in enumerate(group):
        title = "A: student on the warm-up frames"
        with clock("A", seconds[v]), progress.stage(title, video=video.name) as advance:
            frozen.append(stages.label_warm_up(work.model, video, config, advance))

    # ------------------------------------------------------------------ B: masklets, vote, labels
    masklets, targets = [], []
    for v, video in enumerate(group):
        title = "B: vote on the teacher's masks"
        with clock("B", seconds[v]), progress.stage(title, video=video.name):
            masklets.append(teacher_answer(work, video, entries[video.name]))
            targets.append(stages.targets_of(masklets[v], frozen[v], len(work.classes), config))

    # ------------------------------------------------------------------ C: adaptation
    names = [video.name for video in group]
    with clock("C", *seconds), progress.stage("C: adaptation"):
        adapted = stages.adapt_to_many(work.model, frozen, targets, config, names)
        for name, (_, rows) in zip(names, adapted, strict=True):
            keep_losses(work, name, rows)
    frozen = [first._replace(features=[]) for first in frozen]  # D needs the last frame's only

    # ------------------------------------------------------------------ D: inference, metrics
    # On the default device: one video after the other, others would only compile it anew.
    for v, video in enumerate(group):
        steps = len(video.frames) - stages.first_scored(len(video.frames), config.warmup.percent)
        title = "D: segmentation"
        with clock("D", seconds[v]), progress.stage(title, steps, video.name) as advance:
            scores = segment_video(work, video, frozen[v], adapted[v][0], advance)
        yield record_of(video, masklets[v], targets[v], seconds[v], scores, steps)


def check_length(video: "Video", config: ConfigDict) -> None:
    """Refuse a video that the warm-up takes all frames of."""
    from ditta_jax.runs import stages

    T = len(video.frames)
    if stages.first_scored(T, config.warmup.percent) >= T:
        raise UserError(f"{video.name}: {T} frames, all of them warm-up; nothing is left to score")


def teacher_answer(work: Work, video, entry: Path):
    """The masklets of a request that the teacher has answered."""
    from ditta_jax.teacher import ground_truth
    from ditta_jax.teacher.cache import read_entry, read_masklets, teacher_key
    from ditta_jax.teacher.process import teacher_identity

    if work.config.teacher.config == ground_truth.NAME:
        return ground_truth.ground_truth_masklets(video.labels, read_entry(entry).request)
    masklets = read_masklets(entry, teacher_key(teacher_identity(work.config.teacher)))
    if masklets is None:
        raise UserError(f"{entry}: its masklets cannot be used; run the same command again")
    return masklets


def keep_losses(work: Work, name: str, rows: list[dict[str, float]]) -> None:
    """Write a video's losses, one line per step."""
    from ditta_jax.runs import tensorboard

    work.run.write_losses(name, rows)
    if work.config.report.tensorboard:
        tensorboard.write_losses(work.run.path / "tensorboard", name, rows)


def segment_video(work: Work, video, frozen, adapted, advance) -> dict[str, "Scores"]:
    """Stage D: predictions, overlays of a few frames, and scores where there is a ground truth."""
    from ditta_jax.metrics.scores import VideoScores
    from ditta_jax.runs import overlays, stages

    config = work.config
    scores = {}
    if video.labels is not None:
        windows = tuple(config.metrics.windows)
        scores = {m: VideoScores(len(work.classes), windows) for m in ("iss", "ditta")}
    first = stages.first_scored(len(video.frames), config.warmup.percent)
    shown = overlays.chosen_frames(first, len(video.frames), config.report.overlays)
    with work.run.prediction_writer(video.name) as writer:
        for out in stages.segment_rest(work.model, adapted, frozen, video, config):
            name = video.frames.frame_name(out.index)
            truth = video.labels[out.index] if video.labels is not None else None
            if config.report.predictions:
                writer.write(name, out.adapted)
            if truth is not None:
                scores["iss"].update(out.frozen, truth)
                scores["ditta"].update(out.adapted, truth)
            if out.index in shown:
                panels = {} if truth is None else {"ground truth": truth}
                panels |= {"frozen student": out.frozen, "DiTTA": out.adapted}
                file = work.run.overlay_file(video.name, name)
                overlays.write_overlay(file, out.frame, panels, work.classes, work.palette)
            advance()
    return {method: total.finish() for method, total in scores.items()}


def record_of(video: "Video", masklets, targets, seconds, scores, scored: int) -> "VideoRecord":
    """What is kept of a video that went through all stages."""
    from ditta_jax.runs.video_record import VideoRecord

    details = {
        "objects": len(masklets.objects),
        "targets": sum(target is not None for target in targets),
        "teacher_seconds": masklets.provenance.get("seconds"),
    }
    return VideoRecord(
        name=video.name,
        size=video.size,
        frames=len(video.frames),
        warmup=len(targets),
        scored=scored,
        seconds=seconds,
        scores=scores,
        details=details,
    )


@contextmanager
def clock(stage: str, *seconds: dict[str, float]):
    """Note the wall-clock time of a stage, divided among the videos it is for."""
    start = time.perf_counter()
    yield
    taken = time.perf_counter() - start
    for own in seconds:
        own[stage] = taken / len(seconds)


if __name__ == "__main__":
    run(main)

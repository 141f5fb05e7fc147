"""Turn an image segmentation model into a video one.

    python -m ditta_jax.adapt --config FILE

Warm-up then freeze, for every video on its own (DiTTA, CVPR 2026):

    A  the frozen student labels the first frames and says how sure it is
    B  SAM2, in a process of its own, tracks what the student is sure of
    C  each method learns from the first frames; DiTTA's objects vote on a class, and decoder and
       temporal fusion learn from them, a few passes
    D  the rest of the video is segmented with everything frozen

Videos that cannot be done are named, the others are done, and the exit status is then 1.

Example: python -m ditta_jax.adapt --config configs/demo.py --config.tta.iters=3
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ml_collections import ConfigDict

from ditta_jax.configuration import check_value, from_command_line
from ditta_jax.errors import UserError, run

if TYPE_CHECKING:  # the settings are read before these, and what they import, are loaded
    from ditta_jax.data.video import Video
    from ditta_jax.runs.failures import Failures
    from ditta_jax.runs.hosts import Host
    from ditta_jax.runs.progress import RunProgress
    from ditta_jax.runs.shared_labels import SharedLabels
    from ditta_jax.runs.teaching import Entries
    from ditta_jax.runs.video_record import VideoRecord
    from ditta_jax.runs.warm_ups import WarmUps
    from ditta_jax.runs.work import Work


OPTIONS = {"executor": "local or ray: short for --config.parallel.executor"}
SWITCHES = {
    "dry-run": "say what would be done, and which videos cannot be; start nothing",
    "quiet": "no progress: only errors and the results",
}


def main() -> int:
    """Read the settings and adapt to every video."""
    config, given = from_command_line("ditta_jax.adapt", OPTIONS, switches=SWITCHES)
    for executor in given["executor"]:
        config.parallel.executor = check_value("parallel.executor", executor, "--executor")

    from ditta_jax.algorithm import precision
    from ditta_jax.runs import devices, hosts, progress, settings

    settings.check(config, several=True)
    computes = {
        "compute": config.precision.compute,
        "matmul": config.precision.matmul,
        "memory_fraction": config.parallel.memory_fraction,
    }
    if given["dry-run"]:
        devices.prepare(**computes)
        return tell_plan(config)
    if config.parallel.executor == "ray":
        devices.leave_accelerators()
    with hosts.joined(config.parallel, Path(config.output) / config.name) as host:
        devices.prepare(**computes)
        with precision.policy(**config.precision), progress.quietly(given["quiet"]):
            result = adapt_videos(config, host)
    return 1 if result["failed"] else 0


def tell_plan(config: ConfigDict) -> int:
    """Print what a run would do; the exit status is 1 where a video cannot be done."""
    from ditta_jax.runs import plan, preflight
    from ditta_jax.runs.work import needs_masks, open_work

    work = open_work(config)
    previews = preflight.look_at(work.videos, work.split, config.metrics.windows)
    footprint = plan.footprint_of(*work.model[:3], work.model.compute)
    places = {"teacher's answers": work.cache, "compiled programs": plan.compiled_programs()}
    needs = needs_masks(work.methods)
    for line in plan.lines(previews, work.config, footprint, places, needs):
        print(line)
    return 1 if any(own.faults for own in previews) else 0


def adapt_videos(
    config: ConfigDict, host: "Host | None" = None, shared: "SharedLabels | None" = None
) -> dict:
    """Stages A to D on every video of the configuration.

    Args:
        config: the settings.
        host: this process, where the run has several.
        shared: stage A's results, where several runs share them.

    Returns:
        the content of result.json; of a process that is not the first, the failures only.

    Raises:
        UserError: no video could be done.
    """
    from ditta_jax.runs.notices import notices
    from ditta_jax.runs.progress import RunProgress
    from ditta_jax.runs.shares import share_out
    from ditta_jax.runs.work import open_work

    work = open_work(config, shared)
    names = work.videos.names
    with RunProgress(len(names)) as progress:
        for line in notices(config):
            progress.say(line)
    if host is None or host.alone:
        with work.run.opened(names):
            if config.parallel.executor != "ray":
                return write_results(work, *adapt_some(work, names))
            from ditta_jax.runs.ray_executor import spread

            failed = spread(work, adapt_some)
            return write_results(work, *finished_elsewhere(work, failed))
    shares = share_out(work.run, names, host, config.parallel.videos)
    for share in shares.each():
        _, failures = adapt_some(work, share.videos)
        shares.finish(share, failures)
    failed = shares.failures()
    if host.process > 0:
        print(f"process {host.process} of {host.processes} is done; process 0 tells the results")
        return {"failed": failed}
    return write_results(work, *finished_elsewhere(work, failed))


def finished_elsewhere(
    work: "Work", failures: Mapping[str, str]
) -> tuple[dict[str, "VideoRecord"], Mapping[str, str]]:
    """The records that other processes have written, and why there are no others."""
    names = [name for name in work.videos.names if name not in failures]
    return {name: work.run.read_finished(name) for name in names}, failures


def adapt_some(
    work: "Work", names: Sequence[str]
) -> tuple[dict[str, "VideoRecord"], dict[str, str]]:
    """Stages A to D on some of the videos; their records, and why others could not be done."""
    from ditta_jax.runs import finished, results
    from ditta_jax.runs.exchange import Exchange
    from ditta_jax.runs.failures import Failures
    from ditta_jax.runs.grouping import side_by_side
    from ditta_jax.runs.profiling import traced
    from ditta_jax.runs.progress import RunProgress
    from ditta_jax.runs.warm_ups import WarmUps

    with WarmUps(work.config.parallel.keep_gb * 1e9, work.run.path) as warm_ups:
        with RunProgress(len(names)) as progress:
            failures = Failures(progress.say)
            records, parts = finished.finished_before(work, names, failures, progress)
        to_do = [name for name in parts if name not in records and name not in failures]
        turns = side_by_side(work, to_do)
        in_turn = [name for turn in turns for name in turn]
        with (
            RunProgress(len(names), done=len(names) - len(to_do)) as progress,
            Exchange(work, in_turn, warm_ups, failures, progress) as exchange,
        ):
            for turn in turns:
                with progress.videos(turn):
                    exchange.bring(turn)
                    group = [work.videos.named(name) for name in turn if name not in failures]
                    entries = exchange.entries
                    shared = (entries, warm_ups, failures, progress)
                    with traced(work, turn, "work"):
                        for record in adapt_group(work, group, *shared):
                            own = entries.get(record.name)
                            finished.save_finished(work, record, parts[record.name], own)
                            records[record.name] = record
                            progress.note(results.so_far(records.values()))
    return records, failures


def write_results(
    work: "Work", records: Mapping[str, "VideoRecord"], failures: Mapping[str, str]
) -> dict:
    """Write and print what is said of all videos; return the content of result.json."""
    from ditta_jax.runs import tensorboard
    from ditta_jax.runs.page.page import write_page
    from ditta_jax.runs.published import beside_published
    from ditta_jax.runs.result_table import print_table

    config, names = work.config, work.videos.names
    done = [records[name] for name in names if name in records]
    result = work.run.write_result(done, failures)
    if done and config.report.tensorboard:
        tensorboard.write_results(work.run.path, result, config.report.reference)
    if done and config.report.page:
        write_page([work.run.path], work.run.page_file)
    if not done:
        first, message = next(iter(failures.items()))
        raise UserError(f"no video could be done; {first}: {message}")
    print_table(result)
    for line in beside_published(
        result["methods"], config.report.experiment, config.warmup.percent
    ):
        print(line)
    look = f"; to look at: {work.run.page_file}" if config.report.page else ""
    print(f"results in {work.run.path}{look}")
    return result


# ============================================================================ a group, A → D


def adapt_group(
    work: "Work",
    group: list["Video"],
    entries: dict[str, "Entries"],
    warm_ups: "WarmUps",
    failures: "Failures",
    progress: "RunProgress",
) -> Iterator["VideoRecord"]:
    """Adapt to videos of one size and segment the rest of each; yields their records.

    One video at a time but for C. The features of all are held at once, from A to the end of C.

    Args:
        work: what all videos share.
        group: videos of one size.
        entries: of the videos that the teacher was asked about, in its cache.
        warm_ups: stage A's results of these videos.
        failures: told of videos that cannot be done.
        progress: told of each stage.
    """
    from ditta_jax.runs import teaching
    from ditta_jax.runs.video_work import VideoWork, prepare_group

    # ------------------------------------------------------------------ A: frozen student
    videos: list[VideoWork] = []
    for video in group:
        with failures.of(video.name):
            own = VideoWork(work, video)
            warm_up = teaching.label_once(work, video, warm_ups, progress)

            # ---------------------------------------------------------- B: the teacher's masks
            with own.stage("B"):
                own.learn_from(warm_up, entries.get(video.name))
            videos.append(own)

    # ------------------------------------------------------------------ C: adaptation
    for method in work.methods.values():
        with progress.stage(f"C: {method.title}"):
            prepare_group(work, method, videos, failures)
            videos = [own for own in videos if own.name not in failures]
    for own in videos:
        own.keep_what_was_learnt()

    # ------------------------------------------------------------------ D: inference, metrics
    # On the default device: one video after the other, others would only compile it anew.
    for own in videos:
        with failures.of(own.name):
            steps = own.frames_to_score()
            with own.stage("D"), progress.stage("D: segmentation", steps, own.name) as advance:
                own.segment(advance)
            yield own.record()


if __name__ == "__main__":
    run(main)

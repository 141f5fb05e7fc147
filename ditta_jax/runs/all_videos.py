"""Stages A to D on every video of a run, in this process or shared out; what is told of them."""

from collections.abc import Mapping, Sequence

from ml_collections import ConfigDict

from ditta_jax.errors import UserError
from ditta_jax.runs import finished, profiling, results, tensorboard
from ditta_jax.runs.exchange import Exchange, StandingTeacher
from ditta_jax.runs.failures import Failures
from ditta_jax.runs.grouping import side_by_side
from ditta_jax.runs.hosts import Host
from ditta_jax.runs.notices import notices
from ditta_jax.runs.one_group import adapt_group
from ditta_jax.runs.page.page import write_page
from ditta_jax.runs.profiling import traced
from ditta_jax.runs.progress import RunProgress
from ditta_jax.runs.published import beside_published
from ditta_jax.runs.ray_executor import spread
from ditta_jax.runs.result_table import print_table
from ditta_jax.runs.room import Estimate
from ditta_jax.runs.shared_labels import SharedLabels
from ditta_jax.runs.shares import share_out
from ditta_jax.runs.video_record import VideoRecord
from ditta_jax.runs.warm_ups import WarmUps
from ditta_jax.runs.work import Work, open_work


def adapt_videos(
    config: ConfigDict, host: Host | None = None, shared: SharedLabels | None = None
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
    work = open_work(config, shared)
    names = work.videos.names
    profiling.check(config.profile, names)
    if shared is None:  # several runs say it once
        with RunProgress(len(names)) as progress:
            for line in notices(config):
                progress.say(line)
    if host is None or host.alone:
        with work.run.opened(names):
            if config.parallel.executor != "ray":
                return write_results(work, *adapt_some(work, names))
            failed = spread(work, adapt_some)
            return write_results(work, *finished_elsewhere(work, failed))
    shares = share_out(work.run, names, host, config.parallel.videos)
    with StandingTeacher(work) as teacher:
        for share in shares.each():
            _, failures = adapt_some(work, share.videos, teacher)
            shares.finish(share, failures)
    failed = shares.failures()
    if host.process > 0:
        print(f"process {host.process} of {host.processes} is done; process 0 tells the results")
        return {"failed": failed}
    return write_results(work, *finished_elsewhere(work, failed))


def finished_elsewhere(
    work: Work, failures: Mapping[str, str]
) -> tuple[dict[str, VideoRecord], Mapping[str, str]]:
    """The records that other processes have written, and why there are no others."""
    names = [name for name in work.videos.names if name not in failures]
    return {name: work.run.read_finished(name) for name in names}, failures


def adapt_some(
    work: Work, names: Sequence[str], teacher: StandingTeacher | None = None
) -> tuple[dict[str, VideoRecord], dict[str, str]]:
    """Stages A to D on some of the videos.

    Args:
        work: what all videos share.
        names: of these videos.
        teacher: who stays for others; None: one for these videos.

    Returns:
        their records, and why others could not be done.
    """
    with WarmUps(work.config.parallel.keep_gb * 1e9, work.run.path) as warm_ups:
        with RunProgress(len(names)) as progress:
            failures = Failures(progress.say)
            records, due = finished.finished_before(work, names, failures, progress)
            taken = {name: own.taken for name, own in due.items()}
            estimate = Estimate(work, progress.say)
            fits = estimate.fits if estimate.limits else None
            turns = side_by_side(work, list(due), failures, fits, taken)
        in_turn = [name for turn in turns for name in turn]
        with (
            RunProgress(len(names), done=len(names) - len(in_turn)) as progress,
            Exchange(work, in_turn, warm_ups, failures, progress, teacher) as exchange,
        ):
            entries = exchange.entries
            for turn in turns:
                with progress.videos(turn):
                    exchange.bring(turn)
                    group = [work.videos.named(name) for name in turn if name not in failures]
                    with traced(work, turn, "work"):
                        shared = (entries, taken, warm_ups, failures, progress)
                        for record in adapt_group(work, group, *shared):
                            own = entries.get(record.name)
                            finished.save_finished(work, record, due[record.name], own)
                            records[record.name] = record
                            progress.note(results.so_far(records.values()))
    return records, failures


def write_results(
    work: Work, records: Mapping[str, VideoRecord], failures: Mapping[str, str]
) -> dict:
    """Write and print what is said of all videos; return the content of result.json."""
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

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

from pathlib import Path

from ml_collections import ConfigDict

from ditta_jax.configuration import check_value, from_command_line
from ditta_jax.errors import run

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
    from ditta_jax.runs.all_videos import adapt_videos

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
    from ditta_jax.runs import plan, preflight, room
    from ditta_jax.runs.work import needs_masks, open_work

    work = open_work(config)
    estimate = room.Estimate(work)
    previews = preflight.look_at(work.videos, work.split, config.metrics.windows)
    previews = [estimate.checked(own) for own in previews]
    places = {"teacher's answers": work.cache, "compiled programs": plan.compiled_programs()}
    needs = needs_masks(work.methods)
    for line in plan.lines(previews, work.config, estimate.words, places, needs):
        print(line)
    return 1 if any(own.faults for own in previews) else 0


if __name__ == "__main__":
    run(main)

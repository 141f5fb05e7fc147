"""The teacher's command line: `python -m teacher_bridge --cache FOLDER`.

Answers all requests in the folder that this teacher has not answered, and leaves the others
alone. Run it again after an interruption; run it on another machine on a copy of the folder.
To look at the masks: `python -m teacher_bridge inspect --help`, `... quality --help`.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from ditta_jax import errors
from ditta_jax.errors import UserError
from ditta_jax.ranges import MASK_THRESHOLD, THREADS, TORCH_DEVICES
from ditta_jax.teacher.cache import teacher_key
from ditta_jax.teacher.card import card_of
from ditta_jax.teacher.identity import DTYPES, EMBEDDED, teacher_identity
from teacher_bridge.serving.entries import find_entries, unanswered, watch
from teacher_bridge.serving.lifeline import follow_parent
from teacher_bridge.serving.pool import Pool
from teacher_bridge.serving.questions import Heard, listed
from teacher_bridge.serving.ray_pool import RayPool, Work
from teacher_bridge.serving.serve import answer, serve
from teacher_bridge.serving.teachers import make_teacher
from teacher_bridge.serving.worker import work

_WATCH_SECONDS = 2.0
_RANGES = {"mask_threshold": MASK_THRESHOLD, "threads": THREADS, "device": TORCH_DEVICES}


def main(arguments: Sequence[str] | None = None) -> int:
    """Answer the requests; UserError if any of them could not be answered."""
    options = _parse(arguments)
    _prepare_environment(options.threads)
    signal.signal(signal.SIGTERM, _interrupt)
    report = _report_json if options.json else _report_text
    masks = (options.dtype, options.mask_threshold, options.target)
    identity = teacher_identity(options.config, options.checkpoint, *masks)
    key = teacher_key(identity)
    cache = Path(options.cache)
    devices = options.device.split(",")
    names = follow_parent() if options.listen or options.worker else None
    teacher = make_teacher(options.config, options.checkpoint, devices[0], *masks)
    if names is not None and options.worker:
        work(names, cache, teacher, identity, key, report)
        return 0

    workers = max(options.workers or 1, len(devices))
    one_process = workers == 1 and options.executor == "local"

    def pool(videos: int) -> Pool | RayPool:
        if options.executor == "ray":
            settings = (options.config, options.checkpoint, options.device, *masks)
            actor = Work(settings, identity, key, options.threads)
            return RayPool(actor, report, options.workers or 0, options.ray_address)
        return Pool(_worker_commands(options, devices, videos), report, options.patience)

    def answer_all(folders: Sequence[Path]) -> list[str]:
        if one_process:
            return serve(folders, teacher, identity, key, report)
        waiting = unanswered(folders, key)
        questions = listed(waiting, len(folders) - len(waiting), report)
        return pool(len(waiting)).answer(questions)

    if names is not None:
        questions = Heard(names, cache, report)
        if one_process:
            answer(questions, teacher, identity, key, report)
        else:
            pool(workers).answer(questions)
        return 0
    if options.watch:
        for folders in watch(cache, options.entry, _WATCH_SECONDS):
            answer_all(folders)
    folders = find_entries(cache, options.entry)
    failures = answer_all(folders)
    if failures:
        raise UserError(f"{len(failures)} of {len(folders)} videos failed; first: {failures[0]}")
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m teacher_bridge",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--cache", required=True, help="the folder of requests and masklets")
    _add_teacher(parser)
    _add_workers(parser)
    _add_entries(parser)
    options = parser.parse_args(arguments)
    if options.mask_threshold is None:
        options.mask_threshold = card_of(options.config).mask_threshold or 0.0
    if options.workers is not None and options.workers < 1:
        raise UserError(f"--workers must be 1 or more, not {options.workers}")
    for name, allowed in _RANGES.items():
        value = getattr(options, name)
        if fault := allowed.fault(value):
            word = f"--{name.replace('_', '-')}"
            raise UserError(f"{word} must be {allowed.words}, not {value!r}: {fault}")
    if options.executor == "ray" and "," in options.device:
        raise UserError("--executor ray: Ray shares out the devices; give one kind to --device")
    if not 0 <= options.patience < threading.TIMEOUT_MAX:
        raise UserError(f"--patience must be seconds, 0 or more, not {options.patience}")
    return options


def _add_teacher(parser: argparse.ArgumentParser) -> None:
    """Who answers."""
    parser.add_argument(
        "--config",
        default=EMBEDDED,
        help="'embedded' (a nano SAM 2), a configuration of the sam2 package such as"
        " sam2.1_hiera_l, a YAML file, masks:FOLDER, or flow (default: embedded)",
    )
    parser.add_argument("--checkpoint", default="", help="the file of its weights")
    parser.add_argument("--dtype", default="float32", choices=DTYPES)
    parser.add_argument(
        "--mask-threshold",
        type=float,
        help="logit of a mask's border (default: the teacher's own, else 0)",
    )
    parser.add_argument(
        "--target", default="", help="class of a fork's predictor, package.module.Class"
    )


def _add_workers(parser: argparse.ArgumentParser) -> None:
    """Where it answers, and how many of it."""
    parser.add_argument(
        "--device", default="auto", help="auto, cpu, cuda, cuda:1, ...; several: cuda:0,cuda:1"
    )
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: all)")
    parser.add_argument(
        "--workers",
        type=int,
        default=None,
        help="processes that answer side by side, over all devices (default: one a device; on Ray"
        " one a GPU, or one a machine without any)",
    )
    parser.add_argument(
        "--executor",
        default="local",
        choices=("local", "ray"),
        help="where workers are: processes here, or actors of a Ray cluster (default: local)",
    )
    parser.add_argument(
        "--ray-address",
        default="",
        help="of the cluster (default: RAY_ADDRESS, one that runs here, or a new one)",
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=0.0,
        help="seconds without a sign of life after which a worker is stopped (default: for ever)",
    )
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)


def _add_entries(parser: argparse.ArgumentParser) -> None:
    """What is answered, and how that is told."""
    parser.add_argument("--entry", action="append", default=[], help="only this one; repeatable")
    parser.add_argument("--watch", action="store_true", help="wait for further requests")
    parser.add_argument(
        "--listen",
        action="store_true",
        help="entries are named on standard input, line by line, until an empty one; ends when it"
        " is closed",
    )
    parser.add_argument("--json", action="store_true", help="progress as one JSON object a line")


def _worker_commands(
    options: argparse.Namespace, devices: Sequence[str], videos: int
) -> list[list[str]]:
    """The command line of each worker: as many as asked for, in turn over the devices."""
    count = max(1, min(max(options.workers or 1, len(devices)), videos))
    threads = options.threads or max(1, (os.cpu_count() or 1) // count)
    common = [sys.executable, "-m", "teacher_bridge", "--worker", "--json"]
    common += [f"--cache={options.cache}", f"--config={options.config}"]
    common += [f"--checkpoint={options.checkpoint}", f"--dtype={options.dtype}"]
    common += [f"--mask-threshold={options.mask_threshold!r}", f"--threads={threads}"]
    common += [f"--target={options.target}"]
    return [[*common, f"--device={devices[i % len(devices)]}"] for i in range(count)]


def _prepare_environment(threads: int) -> None:
    """Set what PyTorch and tqdm read when they are first imported."""
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning starves a shared machine
    if threads > 0:
        os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(threads)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _report_json(event: Mapping[str, Any]) -> None:
    print(json.dumps(event), flush=True)


def _report_text(event: Mapping[str, Any]) -> None:
    if event["event"] == "start":
        print(f"{event['total']} videos to do, {event['finished']} finished before", flush=True)
    elif event["event"] in ("begin", "alive", "ready"):
        return
    elif event["event"] in ("failed", "skipped"):
        line = f"{event['entry']}: {event['event']}: {event['message']}"
        print(line, file=sys.stderr, flush=True)
    else:
        print(
            "[{done}/{total}] {video}: {frames} frames, {objects} objects,"
            " {seconds:.1f} s".format_map(event),
            flush=True,
        )


def command() -> int:
    """Run `inspect` or `quality` where the first word says so, else the teacher."""
    if sys.argv[1:2] in (["inspect"], ["quality"]):
        from teacher_bridge.inspection.__main__ import main as look

        return look()
    return main()


if __name__ == "__main__":
    errors.run(command)

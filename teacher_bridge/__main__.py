"""The teacher's command line: `python -m teacher_bridge --cache FOLDER`.

Answers all requests in the folder that this teacher has not answered, and leaves the others
alone. Run it again after an interruption; run it on another machine on a copy of the folder.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from ditta_jax import errors
from ditta_jax.errors import UserError
from ditta_jax.teacher.cache import teacher_key
from ditta_jax.teacher.identity import DTYPES, EMBEDDED, teacher_identity
from teacher_bridge.serving.serve import find_entries, make_teacher, serve, watch

_WATCH_SECONDS = 2.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Answers the requests; UserError if any of them could not be answered."""
    options = _parse(arguments)
    _prepare_environment(options.threads)
    signal.signal(signal.SIGTERM, _interrupt)
    report = _report_json if options.json else _report_text
    masks = (options.dtype, options.mask_threshold)
    identity = teacher_identity(options.config, options.checkpoint, *masks)
    key = teacher_key(identity)
    teacher = make_teacher(options.config, options.checkpoint, options.device, *masks)
    cache = Path(options.cache)
    if options.watch:
        for folders in watch(cache, options.entry, _WATCH_SECONDS):
            serve(folders, teacher, identity, key, report)
    folders = find_entries(cache, options.entry)
    failures = serve(folders, teacher, identity, key, report)
    if failures:
        raise UserError(f"{len(failures)} of {len(folders)} videos failed; first: {failures[0]}")
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m teacher_bridge",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--cache", required=True, help="the folder of requests and masklets")
    parser.add_argument(
        "--config",
        default=EMBEDDED,
        help="'embedded' (a nano SAM 2), a configuration of the sam2 package such as"
        " configs/sam2.1/sam2.1_hiera_l.yaml, a YAML file, or palette:FOLDER (default: embedded)",
    )
    parser.add_argument("--checkpoint", default="", help="the file of its weights")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ...")
    parser.add_argument("--dtype", default="float32", choices=DTYPES)
    parser.add_argument(
        "--mask-threshold", type=float, default=0.0, help="logit of a mask's border (default: 0)"
    )
    parser.add_argument("--entry", action="append", default=[], help="only this one; repeatable")
    parser.add_argument("--watch", action="store_true", help="wait for further requests")
    parser.add_argument("--json", action="store_true", help="progress as one JSON object a line")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: all)")
    return parser.parse_args(arguments)


def _prepare_environment(threads: int) -> None:
    """Sets what PyTorch and tqdm read when they are first imported."""
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
    elif event["event"] in ("failed", "skipped"):
        line = f"{event['entry']}: {event['event']}: {event['message']}"
        print(line, file=sys.stderr, flush=True)
    else:
        print(
            "[{done}/{total}] {video}: {frames} frames, {objects} objects,"
            " {seconds:.1f} s".format_map(event),
            flush=True,
        )


if __name__ == "__main__":
    errors.run(main)

"""What tracking costs, against the plain `sam2` package: `python -m teacher_bridge.benchmark`.

Seconds a frame and peak memory by objects and frames. Both get the same prompts on a made-up clip,
spread over every third frame, so the state is reset as often as a scene with arrivals has it. Each
cell is a process of its own. Prints a Markdown table; --out keeps the figures as JSON.

    python -m teacher_bridge.benchmark                        the nano SAM 2, all cells
    python -m teacher_bridge.benchmark --config tiny --random --cells 1x6,10x6
    python -m teacher_bridge.benchmark --trackers ours --cells 2x50,2x200      memory
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ditta_jax import errors
from ditta_jax.errors import UserError
from ditta_jax.files import check_writable, json_with, refuse_foreign_file, write_atomically
from ditta_jax.teacher import mask_rle
from ditta_jax.teacher.identity import DTYPES, EMBEDDED
from teacher_bridge.benchmark.cell import OURS, PLAIN, Cell

CELLS = "1x10,10x10,50x10,100x10,10x50,10x200"
_MOST_PIXELS, _MOST_OBJECTS = 16384, 10000
HEAD = ("objects × frames", "tracker", "s a frame", "encoded", "peak GB", "faster", "mask IoU")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure every cell and print the table."""
    options = _parse(arguments)
    if options.out:
        refuse_foreign_file(Path(options.out), json_with("cells", "config"))
        check_writable(Path(options.out).parent)
    results: list[dict[str, Any]] = []
    _print_row(HEAD)
    _print_row(["---"] * len(HEAD))
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = options.checkpoint
        if options.random:
            checkpoint = str(random_weights(options.config, Path(folder) / "random.pt"))
        for objects, frames in options.cells:
            first: dict[str, Any] | None = None
            for tracker in options.trackers:
                one = _run(cell_of(options, tracker, checkpoint, objects, frames), Path(folder))
                _print_row(row_of(one, first))
                first = first or one
                results.append({key: value for key, value in one.items() if key != "runs"})
    if options.out:
        content = {"config": options.config, "random": options.random, "cells": results}
        write_atomically(Path(options.out), (json.dumps(content, indent=1) + "\n").encode())
    return 0


def cell_of(
    options: argparse.Namespace, tracker: str, checkpoint: str, objects: int, frames: int
) -> Cell:
    """Return the cell of a tracker on so many objects and frames."""
    size = (options.height, options.width)
    where = (options.config, checkpoint, options.device, options.dtype)
    return Cell(tracker, *where, frames, objects, size, options.objects_at_once)


def random_weights(config: str, path: Path) -> Path:
    """Write weights as `sam2` draws them, the same every time, for figures of speed alone."""
    try:
        import torch
        from sam2.build_sam import build_sam2_video_predictor
    except ImportError as error:
        raise UserError(f"--random needs PyTorch and the package sam2: {error}") from None

    from ditta_jax.teacher.sam2_names import full_name

    torch.manual_seed(0)
    predictor = build_sam2_video_predictor(full_name(config), None, device="cpu")
    torch.save({"model": predictor.state_dict()}, path)
    return path


def row_of(one: dict[str, Any], other: dict[str, Any] | None) -> list[str]:
    """Return a row of the table; `other` is the cell it is compared with, None for none."""
    cell = one["cell"]
    compared = ["", ""]
    if other is not None:
        times = one["seconds"] / other["seconds"]
        compared = [f"{times:.2f}", f"{mean_iou(other['runs'], one['runs'], cell['size']):.4f}"]
    return [
        f"{cell['objects']} × {cell['frames']}",
        cell["tracker"],
        f"{one['seconds'] / cell['frames']:.3f}",
        str(one["frames_encoded"]),
        f"{one['peak_bytes'] / 1e9:.2f}",
        *compared,
    ]


def mean_iou(one: Sequence[Any], other: Sequence[Any], size: tuple[int, int]) -> float:
    """Return the mean IoU of the masks of two results, frame by frame; 1 where both are empty."""
    found = []
    for a, b in zip(one, other, strict=True):
        mine, yours = dict(map(tuple, a)), dict(map(tuple, b))
        for object_id in mine.keys() | yours.keys():
            masks = [_mask(runs.get(object_id), size) for runs in (mine, yours)]
            union = int((masks[0] | masks[1]).sum())
            found.append(int((masks[0] & masks[1]).sum()) / union if union else 1.0)
    return float(np.mean(found)) if found else float("nan")


def _mask(runs: str | None, size: tuple[int, int]) -> np.ndarray:
    return np.zeros(size, bool) if runs is None else mask_rle.decode(runs, (size[0], size[1]))


def _run(cell: Cell, folder: Path) -> dict[str, Any]:
    """Measure one cell in a process of its own."""
    out = folder / "cell.json"
    told = json.dumps(cell._asdict())
    command = [sys.executable, "-m", "teacher_bridge.benchmark.cell", str(out), told]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        words = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise UserError(f"{cell.objects} objects, {cell.frames} frames, {cell.tracker}: {words}")
    return {"cell": cell._asdict(), **json.loads(out.read_bytes())}


def _print_row(cells: Sequence[str]) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m teacher_bridge.benchmark",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--config", default=EMBEDDED, help="as of python -m teacher_bridge")
    parser.add_argument("--checkpoint", default="")
    parser.add_argument("--random", action="store_true", help="random weights, for speed alone")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="float32", choices=DTYPES)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--width", type=int, default=853)
    parser.add_argument("--objects-at-once", type=int, default=0, help="0: the default")
    parser.add_argument(
        "--cells", type=_cells, default=CELLS, help=f"objects x frames (default: {CELLS})"
    )
    parser.add_argument(
        "--trackers", type=_trackers, default=f"{OURS},{PLAIN}", help="ours, sam2 or both"
    )
    parser.add_argument("--out", default="", help="JSON file of all figures")
    options = parser.parse_args(arguments)
    for name in ("height", "width"):
        if not 16 <= getattr(options, name) <= _MOST_PIXELS:
            parser.error(f"--{name}: pixels, 16 … {_MOST_PIXELS}")
    if not 0 <= options.objects_at_once <= _MOST_OBJECTS:
        parser.error(f"--objects-at-once: 0 … {_MOST_OBJECTS}")
    if options.random and (options.checkpoint or options.config == EMBEDDED):
        parser.error("--random is for a configuration of sam2 without --checkpoint, such as tiny")
    return options


def _cells(text: str) -> list[tuple[int, int]]:
    pairs = [re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", part) for part in text.split(",")]
    if not all(pairs):
        raise argparse.ArgumentTypeError(f"objects x frames, such as 10x50,10x200, not {text!r}")
    return [(int(pair[1]), int(pair[2])) for pair in pairs if pair]


def _trackers(text: str) -> list[str]:
    names = text.split(",")
    if not set(names) <= {OURS, PLAIN} or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"{OURS}, {PLAIN} or both, not {text!r}")
    return names


if __name__ == "__main__":
    errors.run(main)

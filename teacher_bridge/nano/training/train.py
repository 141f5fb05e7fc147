"""Trains the nano SAM 2 from scratch on procedural clips, on CPU cores.

    python -m teacher_bridge.nano.training.train --out runs/nano --hours 1.33

Each worker is one process with one thread, which on few cores outruns threads within operators;
gradients are averaged after every step. The schedule follows the time budget, so training ends
on time on any machine. `--resume` goes on from `OUT/state.pt`, its time spent counted;
`--start WEIGHTS` from weights alone, such as those that ship, late in the schedule:

    python -m teacher_bridge.nano.training.train --out runs/nano --hours 5 --start shipped

trains for the last 40 % of five hours.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import deque
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, distributed, multiprocessing, nn

from teacher_bridge.nano.build import WEIGHTS, read_weights, write_weights
from teacher_bridge.nano.training.batches import ClipPool
from teacher_bridge.nano.training.schedule import balance, plan_step
from teacher_bridge.nano.training.state import TrainingState
from teacher_bridge.nano.training.unroll import Unroller

SHIPPED = "shipped"
CLIP_LENGTH = 8
FIRST_POOL = 150  # clips per worker before the first step
POOL = 1800  # clips per worker, 1.2 MB each
GROW_EVERY = 4  # steps
LOG_SECONDS, SAVE_SECONDS = 20.0, 150.0


def main(arguments: list[str] | None = None) -> None:
    """Read the command line and start the workers."""
    options = parse(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.resume and not (options.out / "state.pt").is_file():
        raise SystemExit(f"{options.out / 'state.pt'}: nothing to resume from")
    rendezvous = options.out / "rendezvous"
    rendezvous.unlink(missing_ok=True)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # a waiting thread must not hold a core
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if options.workers == 1:
        run_worker(0, options)
    else:
        multiprocessing.start_processes(
            run_worker, args=(options,), nprocs=options.workers, start_method="spawn"
        )


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Return the checked command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of state, weights, log")
    parser.add_argument("--hours", type=float, default=1.33, help="time budget (default 1.33)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="default: cores")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true", help="go on from OUT/state.pt")
    parser.add_argument("--start", default="", help="a file of weights to go on from, or shipped")
    parser.add_argument(
        "--start-at", type=float, default=0.6, help="share of --hours they count as (default 0.6)"
    )
    parser.add_argument("--max-steps", type=int, default=None, help="stop early, for tests")
    parser.add_argument("--first-pool", type=int, default=FIRST_POOL, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.hours <= 0 or options.workers < 1 or options.first_pool < 1:
        parser.error("--hours, --workers and --first-pool must be positive")
    if not 0 <= options.start_at < 1 or (options.start and options.resume):
        parser.error("--start-at must be 0 or more and below 1, and --start without --resume")
    return options


def run_worker(rank: int, options: argparse.Namespace) -> None:
    """Train as worker `rank`; worker 0 also writes the log and the checkpoints."""
    torch.set_num_threads(1)
    if options.workers > 1:
        meeting = f"file://{(options.out / 'rendezvous').resolve()}"
        distributed.init_process_group(
            "gloo", init_method=meeting, rank=rank, world_size=options.workers
        )
    state = TrainingState(options.seed)
    if options.resume:
        state.load(options.out / "state.pt")
    elif options.start:
        path = WEIGHTS if options.start == SHIPPED else Path(options.start)
        state.begin(read_weights(path), options.start_at * options.hours * 3600)
    journal = Journal(options.out / "log.txt") if rank == 0 else None
    train(state, rank, options, journal)
    if options.workers > 1:
        distributed.destroy_process_group()
    if rank == 0:
        checkpoint(state, options.out)


def train(
    state: TrainingState, rank: int, options: argparse.Namespace, journal: Journal | None
) -> None:
    """Run steps until the time budget is spent."""
    started, earlier = time.monotonic(), state.seconds
    budget = options.hours * 3600
    unroller = Unroller(state.model, state.affinity)
    pool = ClipPool(rank, options.workers, CLIP_LENGTH, POOL)
    pool.skip(state.step // GROW_EVERY)
    while len(pool.clips) < options.first_pool:
        pool.grow()
    spent, saved = state.seconds / budget, time.monotonic()
    last_step = state.step + options.max_steps if options.max_steps else None
    while spent < 1 and state.step != last_step:
        if state.step % GROW_EVERY == 0:
            pool.grow()
        plan = plan_step(spent, state.step)
        rng = np.random.default_rng([options.seed, rank, state.step])
        batch = pool.batch(rng, plan.clips, plan.length, plan.objects)
        result = unroller(batch, plan.mask_prompt, balance(spent))
        result.loss.backward()
        state.seconds = earlier + time.monotonic() - started
        next_spent = average_over_workers(
            state.parameters(), state.seconds / budget, options.workers
        )
        norm = state.update(spent)
        spent = next_spent
        if journal:
            values = (float(result.loss.detach()), result.first_iou, result.last_iou, norm)
            journal.add(plan.length, plan.mask_prompt, values, state, len(pool.clips))
            if time.monotonic() - saved > SAVE_SECONDS:
                saved = time.monotonic()
                checkpoint(state, options.out)


def average_over_workers(parameters: list[nn.Parameter], spent: float, workers: int) -> float:
    """Average gradients over the workers, in place; return the mean of `spent`."""
    used = [p for p in parameters if p.grad is not None]
    flat = torch.cat([p.grad.reshape(-1) for p in used] + [torch.tensor([spent])])
    if workers > 1:
        distributed.all_reduce(flat)
        flat /= workers
    pieces: tuple[Tensor, ...] = flat.split([*(p.numel() for p in used), 1])
    for parameter, piece in zip(used, pieces[:-1], strict=True):
        parameter.grad.copy_(piece.view_as(parameter))
    return float(pieces[-1])


def checkpoint(state: TrainingState, out: Path) -> None:
    """Write the state to resume from and the averaged weights to ship."""
    state.save(out / "state.pt")
    write_weights(out / "sam2_nano.safetensors", state.average)


class Journal:
    """Averages what the steps report and appends a line to the log every 20 seconds."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._single: deque[tuple[float, ...]] = deque()
        self._several: deque[tuple[float, ...]] = deque()
        self._written, self._step = time.monotonic(), 0

    def add(
        self,
        length: int,
        mask_prompt: bool,
        values: tuple[float, ...],
        state: TrainingState,
        clips: int,
    ) -> None:
        """Take (loss, first IoU, last IoU, gradient norm) of one step."""
        if not mask_prompt:
            (self._single if length == 1 else self._several).append(values)
        elapsed = time.monotonic() - self._written
        if elapsed < LOG_SECONDS:
            return
        parts = [f"{state.seconds:6.0f} s step {state.step:6d}"]
        for name, rows in (("one frame", self._single), ("several", self._several)):
            if rows:
                loss, first, last, norm = np.mean(rows, axis=0)
                parts.append(f"{name}: loss {loss:.3f} iou {first:.3f} {last:.3f} grad {norm:.2f}")
                rows.clear()
        steps = max(state.step - self._step, 1)
        parts.append(f"{elapsed / steps:.2f} s a step, {clips} clips")
        with self._path.open("a") as log:
            log.write(" | ".join(parts) + "\n")
        self._written, self._step = time.monotonic(), state.step


if __name__ == "__main__":
    main()

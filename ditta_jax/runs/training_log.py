"""What a training tells as it goes."""

import contextlib
import json
import math
import time
from pathlib import Path

import jax.numpy as jnp
from jaxtyping import Array
from ml_collections import ConfigDict

from ditta_jax.errors import UserError
from ditta_jax.files import write_atomically, writing
from ditta_jax.runs.progress import duration


class TrainingLog:
    """Losses in `training.jsonl` and on the terminal, with an estimate of the time left."""

    def __init__(self, file: Path, first: int, train: ConfigDict):
        self._file, self._first, self._train = file, first, train
        self._forget_what_comes_again()
        self._start = time.monotonic()
        self._losses: list[Array] = []

    def step(self, step: int, loss: Array) -> None:
        """Note a loss; the device is asked for values only when a line is due."""
        self._losses.append(loss)
        if step % self._train.log_every and step != self._train.steps:
            return
        mean = float(jnp.stack(self._losses).mean())
        self._losses = []
        if not math.isfinite(mean):
            raise UserError(
                f"{self._file}: the loss of step {step} is not finite; lower train.lr or raise "
                "train.warmup_steps, and change `name` or remove the folder"
            )
        pace = (time.monotonic() - self._start) / (step - self._first)
        left = duration(pace * (self._train.steps - step))
        self.write({"step": step, "loss": mean, "seconds_per_step": pace})
        print(f"step {step}/{self._train.steps}  loss {mean:.3f}  {left} left", flush=True)

    def write(self, row: dict) -> None:
        """Append one line."""
        with writing(self._file), open(self._file, "a") as file:
            file.write(json.dumps(row) + "\n")

    def _forget_what_comes_again(self) -> None:
        """Drop torn lines, and those of steps after the checkpoint that training goes on from."""
        if not self._file.exists():
            return
        kept = []
        for line in self._file.read_text(errors="replace").splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError):
                row = json.loads(line)
                if row["step"] <= self._first and "validation_mIoU" not in row:
                    kept.append(line + "\n")
        write_atomically(self._file, "".join(kept).encode())

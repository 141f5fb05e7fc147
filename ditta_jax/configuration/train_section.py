"""Settings of the section `train`: the student that `pretrain` makes, and how."""

from __future__ import annotations

from ditta_jax.configuration.setting import FOLDER, Schema, Setting
from ditta_jax.ranges import (
    FLAG,
    LEARNING_RATE,
    RATE_BELOW_ONE,
    Range,
    between,
    several,
    sides,
    text,
)

_LEVELS = 4  # of the encoder


def _levels(most: int) -> Range:
    return several(between(1, most), f"four numbers in 1 … {most}, one a level", _LEVELS, _LEVELS)


TRAIN: Schema = {
    "family": Setting(
        "segformer",
        text("a name", empty=False),
        "of students; the sizes below are those of a SegFormer",
    ),
    "channels": Setting((32, 64, 160, 256), _levels(8192), "of the encoder's levels"),
    "depths": Setting((2, 2, 2, 2), _levels(256), "blocks of the encoder's levels"),
    "heads": Setting((1, 2, 5, 8), _levels(256), "of attention; they divide the channels"),
    "reductions": Setting((8, 4, 2, 1), _levels(64), "by which the keys' maps are shrunk"),
    "embed_dim": Setting(256, between(1, 8192), "channels of the embedding", "256"),
    "radius": Setting(
        5, between(0, 64), "of the fusion's window, in cells of the decoder's grid", "5"
    ),
    "split": Setting("stills", text("a name", empty=False), "of the data set, to train on"),
    "clips": Setting(
        False, FLAG, "learn from pairs of consecutive frames: the temporal fusion learns too"
    ),
    "paths": Setting(
        ("",),
        several(FOLDER, "paths", 0, 10**6),
        "labelled folders of stills, where data.kind is folder",
    ),
    "validation_split": Setting("stills_val", text("a name, or empty"), "empty: none"),
    "crop": Setting((192, 320), sides(16, 8192), "height and width of a training picture"),
    "batch_size": Setting(8, between(1, 65536), "pictures a step"),
    "steps": Setting(4000, between(1, 10**9), "of the training"),
    "warmup_steps": Setting(200, between(0, 10**9), "with a growing learning rate"),
    "lr": Setting(1e-3, LEARNING_RATE, "highest learning rate"),
    "weight_decay": Setting(1e-2, between(0.0, 100.0), "of AdamW"),
    "stochastic_depth": Setting(0.1, RATE_BELOW_ONE, "of the encoder", "0.1"),
    "dropout": Setting(0.1, RATE_BELOW_ONE, "share of channels dropped", "0.1"),
    "initial_checkpoint": Setting(
        "",
        FOLDER,
        "a student to start from, embedded, or another program's file, for its encoder",
    ),
    "checkpoint_every": Setting(500, between(1, 10**9), "steps"),
    "log_every": Setting(20, between(1, 10**9), "steps"),
}

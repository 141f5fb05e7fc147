"""Settings of methods: the section of each is called as its file, and its keys as its fields."""

from __future__ import annotations

from ditta_jax.configuration.setting import FLAG, Schema, Setting
from ditta_jax.ranges import LEARNING_RATE, SHARE, between, one_of, several

METHODS: Schema = {
    "tent": {
        "lr": Setting(1e-3, LEARNING_RATE, "learning rate of TENT", "1e-3, of TENT's authors"),
        "optimiser": Setting("adam", one_of("adam", "sgd"), "of TENT: adam or sgd (momentum 0.9)"),
        "norms": Setting(
            "batch",
            one_of("batch", "all"),
            "that move: the decoder's BatchNorms, or all; the encoder's too where tta.train is "
            "norms or all",
            "batch, of TENT's authors",
        ),
    },
    "ditta_cuts": {
        "distance": Setting(
            0.3, SHARE, "share of the pixels that change class between two frames at a scene cut"
        ),
    },
    "auxadapt": {
        "lr": Setting(
            0.1, LEARNING_RATE, "learning rate of AuxAdapt; chosen on the demo's video_val"
        ),
        "optimiser": Setting(
            "sgd", one_of("adam", "sgd"), "of AuxAdapt: adam or sgd (momentum 0.9)"
        ),
    },
    "cotta": {
        "lr": Setting(
            7.5e-6,
            LEARNING_RATE,
            "learning rate of CoTTA; its users report 3e-4 as far better",
            "7.5e-6, of CoTTA's authors",
        ),
        "params": Setting(
            "all",
            one_of("all", "decoder", "classifier", "norms"),
            "what learns and is restored",
            "all",
        ),
        "momentum": Setting(0.999, SHARE, "what the teacher keeps at each step", "0.999"),
        "restore": Setting(0.01, SHARE, "probability that a weight returns to its source", "0.01"),
        "threshold": Setting(
            0.69,
            SHARE,
            "mean confidence of the source below which augmentations are averaged",
            "0.69",
        ),
        "scales": Setting(
            (0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0),
            several(between(0.05, 8.0), "scales in 0.05 … 8", 1, 32),
            "of the augmented inputs, beside the frame's own size",
            "0.5 … 2",
        ),
        "flip": Setting(True, FLAG, "each scale mirrored too", "True"),
    },
}

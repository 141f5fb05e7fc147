"""Settings of methods: the section of each is called as its file, and its keys as its fields."""

from __future__ import annotations

from ditta_jax.configuration.setting import Schema, Setting
from ditta_jax.ranges import LEARNING_RATE, one_of

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
    "auxadapt": {
        "lr": Setting(1e-3, LEARNING_RATE, "learning rate of AuxAdapt"),
        "optimiser": Setting(
            "sgd", one_of("adam", "sgd"), "of AuxAdapt: adam or sgd (momentum 0.9)"
        ),
    },
}

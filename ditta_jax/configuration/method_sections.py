"""Settings of methods: the section of each is called as its file, and its keys as its fields."""

from __future__ import annotations

from ditta_jax.configuration.setting import Schema, Setting
from ditta_jax.ranges import METHODS

_TENT, _AUXADAPT, _COTTA = METHODS["tent"], METHODS["auxadapt"], METHODS["cotta"]

SECTIONS: Schema = {
    "tent": {
        "lr": Setting(1e-3, _TENT["lr"], "learning rate of TENT", "1e-3, of TENT's authors"),
        "optimiser": Setting("adam", _TENT["optimiser"], "of TENT: adam or sgd (momentum 0.9)"),
        "norms": Setting(
            "batch",
            _TENT["norms"],
            "that move: the decoder's BatchNorms, or all; the encoder's too where tta.train is "
            "norms or all",
            "batch, of TENT's authors",
        ),
    },
    "ditta_cuts": {
        "distance": Setting(
            0.3,
            METHODS["ditta_cuts"]["distance"],
            "share of the pixels that change class between two frames at a scene cut",
        ),
    },
    "auxadapt": {
        "lr": Setting(
            0.1, _AUXADAPT["lr"], "learning rate of AuxAdapt; chosen on the demo's video_val"
        ),
        "optimiser": Setting(
            "sgd", _AUXADAPT["optimiser"], "of AuxAdapt: adam or sgd (momentum 0.9)"
        ),
    },
    "cotta": {
        "lr": Setting(
            7.5e-6,
            _COTTA["lr"],
            "learning rate of CoTTA; its users report 3e-4 as far better",
            "7.5e-6, of CoTTA's authors",
        ),
        "params": Setting("all", _COTTA["params"], "what learns and is restored", "all"),
        "momentum": Setting(
            0.999, _COTTA["momentum"], "what the teacher keeps at each step", "0.999"
        ),
        "restore": Setting(
            0.01, _COTTA["restore"], "probability that a weight returns to its source", "0.01"
        ),
        "threshold": Setting(
            0.69,
            _COTTA["threshold"],
            "mean confidence of the source below which augmentations are averaged",
            "0.69",
        ),
        "scales": Setting(
            (0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0),
            _COTTA["scales"],
            "of the augmented inputs, beside the frame's own size",
            "0.5 … 2",
        ),
        "flip": Setting(True, _COTTA["flip"], "each scale mirrored too", "True"),
    },
}

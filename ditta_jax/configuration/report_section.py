"""Settings of the sections `report` and `profile`: what a run writes to be looked at."""

from __future__ import annotations

from ditta_jax.configuration.setting import FOLDER, Schema, Setting
from ditta_jax.ranges import FLAG, SETTINGS, between, one_of, several, text

REPORT: Schema = {
    "overlays": Setting(4, between(0, 10**6), "frames shown side by side, of each video"),
    "page": Setting(
        60, between(0, 10**6), "frames of each video in report.html, at most; 0: no page"
    ),
    "video": Setting(True, FLAG, "write overlay.mp4 of each video"),
    "predictions": Setting(True, FLAG, "write every predicted label map"),
    "gradient_norm": Setting(
        False,
        SETTINGS["gradient_norm"],
        "a further column of the losses: the gradient's norm at each step",
    ),
    "tensorboard": Setting(
        False, FLAG, "write losses, scores, curves, pictures and settings for TensorBoard"
    ),
    "reference": Setting(
        "", FOLDER, "of another run, whose curves TensorBoard shows beside this one's"
    ),
    "experiment": Setting(
        "",
        one_of("", "vspw", "vspw_to_cityscapes", "ade20k_to_vspw"),
        "of the paper, whose figures are shown beside the run's; empty: none",
    ),
}

PROFILE: Schema = {
    "folder": Setting(
        "",
        FOLDER,
        "JAX traces of the videos below go there, for XProf or Perfetto; empty: none",
    ),
    "videos": Setting(
        ("",), several(text("a name, or empty"), "names", 0), "of videos; empty: the first one"
    ),
}

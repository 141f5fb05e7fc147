"""Every setting, stated once: default, range, meaning with its unit, and the paper's value.

From this table come `default_config()`, the checks, `--help` and the page of settings.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from ditta_jax.configuration.data_section import DATA
from ditta_jax.configuration.method_sections import SECTIONS
from ditta_jax.configuration.parallel_section import PARALLEL
from ditta_jax.configuration.report_section import PROFILE, REPORT
from ditta_jax.configuration.setting import FOLDER, Schema, Setting
from ditta_jax.configuration.train_section import TRAIN
from ditta_jax.ranges import (
    COLOUR,
    FLAG,
    MASK_THRESHOLD,
    MOST_CLASSES,
    SETTINGS,
    SHARE,
    THREADS,
    TORCH_DEVICES,
    Range,
    between,
    fault_of_classes,
    name,
    one_of,
    several,
    text,
)


def _class_names() -> Range:
    """Names, or nothing: a single empty one, so that the default shows the type."""
    words = f"different names, at most {MOST_CLASSES}, or empty"
    return Range(words, lambda value: fault_of_classes(value) if any(value) else "")


SCHEMA: Schema = {
    "name": Setting(
        "unnamed", name("a name for a folder"), "of the run; results go to <output>/<name>"
    ),
    "output": Setting("runs", text("a path", empty=False), "folder of all runs"),
    "seed": Setting(0, SETTINGS["seed"], "of everything that is drawn"),
    "classes": Setting(
        ("",), _class_names(), "names in label order; a checkpoint's own where empty"
    ),
    "palette": Setting(
        ((0, 0, 0),),
        several(COLOUR, "one RGB colour (0 … 255) a class", 0, MOST_CLASSES),
        "RGB a class; a checkpoint's own, or made up, with fewer than two",
    ),
    "data": DATA,
    "input": {
        "scale": Setting(
            (853, 480), SETTINGS["scale"], "longer and shorter side at most, pixels", "(853, 480)"
        ),
        "divisor": Setting(
            32, SETTINGS["divisor"], "both sides are stretched to its next multiple, pixels", "32"
        ),
    },
    "student": {
        "checkpoint": Setting(
            "embedded",
            text("a path", empty=False),
            "folder of a student, or embedded: the demo student of the package",
        ),
        "supervised": Setting(
            "",
            FOLDER,
            "folder of a student of the same sizes trained on clips, for the method supervised; "
            "empty: checkpoint is one",
        ),
    },
    "methods": Setting(
        ("frozen", "ditta"),
        several(text("a name", empty=False), "different names of methods", 1, distinct=True),
        "files of ditta_jax/methods, in the order of tables",
    ),
    "protocol": Setting(
        "freeze",
        SETTINGS["protocol"],
        "freeze after the warm-up, or online: methods that can go on learning do",
        "freeze",
    ),
    "warmup": {
        "percent": Setting(
            10.0,
            between(0.0, 100.0, above=True),
            "of the frames, to adapt on; 100 adapts on and scores all",
            "10, 25 or 50",
        ),
    },
    "teacher": {
        "config": Setting(
            "embedded",
            text("a configuration", empty=False),
            "embedded, a SAM 2 configuration (sam2.1_hiera_l, large, …), a .yaml file, "
            "masks:FOLDER (of another tracker), flow (no weights) or ground-truth",
            "SAM 2.0 Hiera-L",
        ),
        "checkpoint": Setting(
            "",
            FOLDER,
            "file of its weights, or sha256:<hex> where they are on another machine",
        ),
        "target": Setting(
            "",
            text("a class, package.module.Class, or empty", r"([^\W\d]\w*(\.[^\W\d]\w*)+)?"),
            "predictor of a fork that has SAM 2's interface; empty: SAM 2's",
        ),
        "device": Setting(
            "auto",
            TORCH_DEVICES,
            "of the teacher process: auto, cpu, cuda, cuda:1, …; several work side by side",
        ),
        "dtype": Setting("float32", one_of("float32", "bfloat16"), "it computes in", "bfloat16"),
        "mask_threshold": Setting(
            0.0,
            MASK_THRESHOLD,
            "logit above which a pixel is in a mask; unset: the teacher's own (embedded: 2.0)",
            "0",
            of_teacher=True,
        ),
        "threshold_first": Setting(
            0.8, SHARE, "peak reliability for a prompt on frame 0, a share", "0.8"
        ),
        "threshold_later": Setting(0.8, SHARE, "the same on later frames", "0.8"),
        "max_objects": Setting(100, between(1, 10000), "prompted in a video at most", "100"),
        "cache": Setting(
            "", FOLDER, "folder of requests and masklets; empty: <output>/teacher_cache"
        ),
        "python": Setting("", FOLDER, "interpreter of the teacher process; empty: this one"),
        "run": Setting(True, FLAG, "False: never start the teacher, say what is missing"),
        "threads": Setting(0, THREADS, "of the teacher on a CPU; 0: its own choice"),
        "workers": Setting(
            1, between(1, 1024), "processes of the teacher that share the videos, over its devices"
        ),
        "patience": Setting(
            600.0,
            between(0.0, 1e6),
            "seconds without a sign of life after which the teacher is stopped; 0: never",
        ),
    },
    "vote": {
        "area_power": Setting(
            0.3, SETTINGS["area_power"], "lambda of the share of a mask (Eq. 4)", "0.3"
        ),
        "frequency_power": Setting(
            0.8, SETTINGS["frequency_power"], "lambda of the rarity of a class (Eq. 4)", "0.8"
        ),
    },
    "tta": {
        "iters": Setting(5, SETTINGS["iters"], "passes over the warm-up frames", "5"),
        "lr": Setting(
            1e-3,
            SETTINGS["lr"],
            "learning rate of AdamW; unset: the teacher's own (embedded: 1e-4)",
            "1e-3",
            of_teacher=True,
        ),
        "beta1": Setting(0.9, SETTINGS["beta1"], "of AdamW", "0.9"),
        "beta2": Setting(0.999, SETTINGS["beta2"], "of AdamW", "0.999"),
        "eps": Setting(1e-8, SETTINGS["eps"], "of AdamW", "1e-8"),
        "weight_decay": Setting(1e-2, SETTINGS["weight_decay"], "of AdamW", "1e-2"),
        "momentum": Setting(
            0.99, SETTINGS["momentum"], "what the momentum network keeps at each step", "0.99"
        ),
        "dropout": Setting(0.1, SETTINGS["dropout"], "share of channels dropped", "0.1"),
        "train": Setting(
            "decoder",
            SETTINGS["train"],
            "what learns: decoder (with the add-on), classifier, addon, or with the encoder's own, "
            "norms or all",
            "decoder",
        ),
        "save": Setting(False, FLAG, "keep the adapted students: <run>/students/<video>/<method>"),
        "least_frames": Setting(
            0,
            SETTINGS["least_frames"],
            "frames that every warm-up is padded to at least; 0: sizes 1 2 3 4 6 8 12 16 …",
        ),
    },
    **SECTIONS,
    "encoder": {
        "stochastic_depth": Setting(
            0.0,
            SETTINGS["stochastic_depth"],
            "of the frozen encoder; above 0 it is recomputed at each step, as released",
            "0.1",
        ),
    },
    "loss": {
        "on": Setting(
            "probabilities",
            SETTINGS["loss_on"],
            "what the softmax of the cross entropy is taken of",
            "probabilities",
        ),
        "terms": Setting(
            ("plain", "fused", "contrast"),
            SETTINGS["terms"],
            "of Eq. 8 that are learnt from: cross entropy of the plain and of the fused branch, "
            "contrastive loss",
            "all",
        ),
        "temperature": Setting(
            1.0, SETTINGS["temperature"], "of the contrastive loss (Eq. 7), a divisor", "1"
        ),
    },
    "fusion": {
        "threshold": Setting(
            0.8,
            SETTINGS["threshold"],
            "tau of Eq. 3: reliability below which branches are mixed",
            "0.8",
        ),
        "radius": Setting(
            -1,
            between(-1, 64),
            "of the fusion's window, in cells of the decoder's grid; -1: the student's own",
            "5",
        ),
    },
    "precision": {
        "compute": Setting("float32", SETTINGS["compute"], "type of activations", "float32"),
        "matmul": Setting(
            "highest",
            SETTINGS["matmul"],
            "precision of float32 products on accelerators",
        ),
    },
    "parallel": PARALLEL,
    "compare": {
        "percents": Setting(
            (10.0, 25.0, 50.0, 100.0),
            several(between(0.0, 100.0, above=True), "different shares", 1, distinct=True),
            "lengths of the warm-up that are compared, in the place of warmup.percent",
            "10, 25 and 50",
        ),
        "seeds": Setting(
            (0, 1, 2),
            several(between(0, 2**32 - 1), "different seeds", 1, distinct=True),
            "in the place of seed; methods that draw nothing run with the first one only",
        ),
        "ablations": Setting(
            ("",),
            several(text("NAME: KEY=VALUE; KEY=VALUE …, or empty"), "variants", 0, distinct=True),
            "variants of this configuration that are compared as well",
        ),
        "resamples": Setting(2000, between(100, 10**6), "of the videos, for the intervals"),
        "confidence": Setting(
            0.95, between(0.0, 1.0, above=True, below=True), "of the intervals, a share"
        ),
    },
    "metrics": {
        "windows": Setting(
            (8, 16),
            several(between(2, 10000), "different numbers of frames, 2 or more", 1, distinct=True),
            "frames of the windows of mVC",
            "(8, 16)",
        ),
    },
    "report": REPORT,
    "profile": PROFILE,
    "train": TRAIN,
}


def default_config(schema: Schema = SCHEMA) -> ConfigDict:
    """Every setting with its default; the paper's values wherever the paper has one.

    What the teacher decides is None, and takes values of its type.
    """
    config = ConfigDict()
    for key, entry in schema.items():
        config[key] = _default(entry) if isinstance(entry, Setting) else default_config(entry)
    return config


def _default(setting: Setting) -> Any:
    return placeholder(type(setting.default)) if setting.of_teacher else setting.default


def flat(schema: Schema = SCHEMA, prefix: str = "") -> Iterator[tuple[str, Setting]]:
    """Every setting by its dotted key, in the schema's order."""
    for key, entry in schema.items():
        if isinstance(entry, Setting):
            yield prefix + key, entry
        else:
            yield from flat(entry, f"{prefix}{key}.")


def sections(schema: Schema = SCHEMA) -> list[str]:
    """The keys of all sections."""
    return [key for key, entry in schema.items() if not isinstance(entry, Setting)]

"""CamVid: train a student on stills of two drives, adapt it to a densely labelled clip of a third.

    export CAMVID=/path/to/camvid          # folders with origin/<frame>.jpg and mask/<frame>.png
    python -m ditta_jax.pretrain --config configs/camvid.py
    python -m ditta_jax.adapt --config configs/camvid.py

Labels 0-10, 11 = unlabelled. Training starts from the demo student of the package. A tiny variant:
--config.train.steps=20 for the first command, --config.data.max_frames=20 for the second.
"""

import os
from pathlib import Path

from ditta_jax.configuration import default_config

CLASSES = {
    "sky": (128, 128, 128),
    "building": (128, 0, 0),
    "pole": (192, 192, 128),
    "road": (128, 64, 128),
    "pavement": (0, 0, 192),
    "tree": (128, 128, 0),
    "sign": (192, 128, 128),
    "fence": (64, 64, 128),
    "car": (64, 0, 128),
    "pedestrian": (64, 64, 0),
    "bicyclist": (0, 128, 192),
}


def get_config():
    """Settings of both commands."""
    root = Path(os.environ.get("CAMVID", "data/camvid"))
    config = default_config()
    config.name = "camvid"
    config.classes = tuple(CLASSES)
    config.palette = tuple(CLASSES.values())
    config.data.kind = "folder"
    config.data.path = str(root / "clip_0016E5_07959")
    config.data.ignore = (11, 255)
    config.input.scale = (480, 360)
    config.student.checkpoint = "runs/camvid/student"
    config.train.paths = tuple(str(root / name) for name in ("stills_0001TP", "stills_0006R0"))
    config.train.initial_checkpoint = "embedded"
    config.train.crop = (192, 256)
    config.train.batch_size = 8
    config.train.steps = 600
    config.train.warmup_steps = 50
    config.train.lr = 1e-3
    config.tta.lr = 1e-4  # as in configs/demo.py, whichever the teacher
    return config

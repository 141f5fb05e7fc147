"""A student with public weights on VSPW: SegFormer-B5 of ADE20K, 150 classes scored as 124.

    export VSPW=/path/to/VSPW_480p
    python -m ditta_jax.convert /path/to/segformer-b5-finetuned-ade-640-640 runs/segformer_b5_ade20k
    python -m ditta_jax.adapt --config configs/ade20k_to_vspw.py

The paper has no such row: students trained on VSPW are not public, those of ADE20K are. Which class
is which is in ditta_jax/data/classes/ade20k_to_vspw.csv, with a reason each; 38 of VSPW's
classes are never predicted, so mIoU is low for every method, and only differences between methods
count. Not run here: neither the data nor the weights were at hand. A tiny variant:
--config.data.max_videos=2 --config.data.max_frames=20
"""

import os

from ditta_jax.configuration import default_config


def get_config():
    config = default_config()
    config.name = "ade20k_to_vspw"
    config.data.kind = "vspw"
    config.data.path = os.environ.get("VSPW", "data/VSPW_480p")
    config.data.split = "val"
    config.data.class_map = "ade20k_to_vspw"
    config.student.checkpoint = "runs/segformer_b5_ade20k"
    config.warmup.percent = 10.0
    config.teacher.config = "configs/sam2.1/sam2.1_hiera_l.yaml"
    config.teacher.checkpoint = os.environ.get("SAM2", "sam2.1_hiera_large.pt")
    config.teacher.dtype = "bfloat16"
    config.report.experiment = "ade20k_to_vspw"
    config.report.overlays = 0
    return config

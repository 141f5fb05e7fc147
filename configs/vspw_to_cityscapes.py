"""Transfer: a student trained on VSPW segments Cityscapes' sequences, 124 classes scored as 19.

    export CITYSCAPES=/path/to/cityscapes      # with leftImg8bit_sequence/ and gtFine/
    python -m ditta_jax.convert /path/to/segformer_b5_vspw runs/segformer_b5_vspw
    python -m ditta_jax.adapt --config configs/vspw_to_cityscapes.py

    method         mIoU  wIoU   (published, second-hand notes on the paper)
    SegFormer-B5   44.2  74.2   (the notes' DiTTA figures minus its gains of 2.7 and 3.7)
    DiTTA          46.9  77.9

Of each snippet of 30 frames the 20th is labelled and scored; mVC needs labels on every frame and
is left out. Which of VSPW's classes is which of Cityscapes' is in
ditta_jax/data/classes/vspw_to_cityscapes.csv, with a reason each; a prediction without counterpart
is wrong, `rider` has none and is never right. The paper's table is not public: figures may differ
by it. Not reproduced here, as in configs/vspw.py. A tiny variant: --config.data.max_videos=2
"""

import os

from ditta_jax.configuration import default_config


def get_config():
    config = default_config()
    config.name = "vspw_to_cityscapes"
    config.data.kind = "cityscapes"
    config.data.path = os.environ.get("CITYSCAPES", "data/cityscapes")
    config.data.split = "val"
    config.data.class_map = "vspw_to_cityscapes"
    config.student.checkpoint = "runs/segformer_b5_vspw"
    config.warmup.percent = 10.0
    config.teacher.config = "configs/sam2.1/sam2.1_hiera_l.yaml"
    config.teacher.checkpoint = os.environ.get("SAM2", "sam2.1_hiera_large.pt")
    config.teacher.dtype = "bfloat16"
    config.report.experiment = "vspw_to_cityscapes"
    config.report.overlays = 0
    return config

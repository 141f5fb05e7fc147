"""The paper's main experiment: SegFormer-B5 on VSPW (480p, 343 videos of the split val).

    export VSPW=/path/to/VSPW_480p
    python -m ditta_jax.convert /path/to/segformer_b5_vspw runs/segformer_b5_vspw
    python -m ditta_jax.adapt --config configs/vspw.py --config.warmup.percent=10

    warm-up   method         mIoU  wIoU  mVC8  mVC16   (published)
    10 %      SegFormer-B5   49.0  66.3  88.3  84.3
    10 %      DiTTA          51.1  66.5  94.1  92.2
    25 %      DiTTA          51.0
    50 %      SegFormer-B5   48.7  66.4  88.3  84.2
    50 %      DiTTA          52.3  67.1  94.9  93.0

The 10 % rows are the authors' own, the others come from second-hand notes on the paper. For 100 %
(all frames adapted on and scored) no figure is known. The run ends with its scores beside these.
They were not reproduced here: neither the data nor the weights were at hand.

The data set is read where it lies. The paper's teacher is SAM 2.0 Hiera-L in bfloat16; the newer
2.1 is the default here. Its weights: SAM2=/path/to/sam2.1_hiera_large.pt. A tiny variant:
--config.data.max_videos=2 --config.data.max_frames=20
"""

import os

from ditta_jax.configuration import default_config


def get_config():
    config = default_config()
    config.name = "vspw"
    config.data.kind = "vspw"
    config.data.path = os.environ.get("VSPW", "data/VSPW_480p")
    config.data.split = "val"
    config.student.checkpoint = "runs/segformer_b5_vspw"
    config.warmup.percent = 10.0
    config.teacher.config = "configs/sam2.1/sam2.1_hiera_l.yaml"
    config.teacher.checkpoint = os.environ.get("SAM2", "sam2.1_hiera_large.pt")
    config.teacher.dtype = "bfloat16"
    config.report.experiment = "vspw"
    config.report.overlays = 0
    return config

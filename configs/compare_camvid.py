"""Methods on a densely labelled clip of CamVid, with a student of 11 classes or of Cityscapes' 19.

    export CAMVID=/path/to/camvid          # folders with origin/<frame>.jpg and mask/<frame>.png
    python -m ditta_jax.compare --config configs/compare_camvid.py \
        --config.student.checkpoint=runs/camvid/student

Such a student is trained by configs/camvid.py. With one of Cityscapes, ESPNetv2 for example:

    python -m ditta_jax.convert espnetv2_s_2.0_city_1024x512.pth runs/espnetv2
    python -m ditta_jax.compare --config configs/compare_camvid.py \
        --config.student.checkpoint=runs/espnetv2 \
        --config.data.class_map=cityscapes_to_camvid \
        --config.input.scale=1024,512 --config.input.divisor=512

One clip: no interval over videos. The teacher is optical flow, which needs no weights. A tiny
variant: --config.data.max_frames=20 --config.compare.seeds=0 --config.compare.percents=50
"""

import os
from pathlib import Path

from ditta_jax.configuration import default_config


def get_config():
    """Settings of the comparison."""
    config = default_config()
    config.name = "compare_camvid"
    config.methods = ("frozen", "zero_shot", "ditta", "tent", "auxadapt", "cotta")
    config.compare.percents = (10.0, 50.0)
    config.compare.seeds = (0, 1, 2)
    config.data.kind = "folder"
    config.data.path = str(Path(os.environ.get("CAMVID", "data/camvid")) / "clip_0016E5_07959")
    config.data.ignore = (11, 255)
    config.input.scale = (480, 360)
    config.student.checkpoint = "runs/camvid/student"
    config.teacher.config = "flow"
    config.tta.lr = 1e-4  # as in configs/demo.py, chosen on the demo data's split video_val
    config.report.update(overlays=0, page=0, video=False, predictions=False)
    return config

"""Every method on the demo's videos, under two lengths of the warm-up and three seeds.

    python -m ditta_jax.compare --config configs/compare_demo.py

The table is in README. A tiny variant: --config.data.max_videos=2 --config.compare.seeds=0
"""

from ditta_jax.configuration import default_config


def get_config():
    """Settings of the demo, and what is compared."""
    config = default_config()
    config.name = "compare_demo"
    config.methods = ("frozen", "zero_shot", "ditta", "tent", "auxadapt", "cotta")
    config.compare.percents = (10.0, 50.0)
    config.compare.seeds = (0, 1, 2)
    config.input.scale = (320, 192)
    # both as in configs/demo.py, chosen on the demo data's split video_val
    config.teacher.mask_threshold = 2.0
    config.tta.lr = 1e-4
    # a cell is looked at through its scores; python -m ditta_jax.adapt writes pictures
    config.report.update(overlays=0, page=0, video=False, predictions=False)
    return config

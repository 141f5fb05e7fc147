"""The demo student, from scratch on the stills of the procedural data.

    python -m ditta_jax.pretrain --config configs/pretrain_demo.py

A tiny run to look at the machinery: --config.train.steps=20 --config.train.warmup_steps=5
"""

from ditta_jax.configuration import default_config


def get_config():
    """Settings of the demo student."""
    config = default_config()
    config.name = "pretrain_demo"
    config.input.scale = (320, 192)
    config.train.channels = (16, 32, 80, 120)
    config.train.heads = (1, 2, 4, 5)
    config.train.embed_dim = 96
    # 5 cells of 48x80 are 6 % of the width; 5 of 120x214, as in the paper, are 2 %
    config.train.radius = 2
    config.train.crop = (128, 256)
    config.train.batch_size = 8
    config.train.steps = 3000
    config.train.lr = 1.5e-3
    return config

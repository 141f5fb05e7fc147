"""DiTTA end to end on data, student and teacher that come with the package.

    python -m ditta_jax.adapt --config configs/demo.py

Two videos only: --config.data.max_videos=2
"""

from ditta_jax.configuration import default_config


def get_config():
    """Settings of the demo."""
    config = default_config()
    config.name = "demo"
    config.input.scale = (320, 192)
    # Chosen on the demo data's split video_val, as the embedded teacher's own border and learning
    # rate; stated here so that it holds with other teachers too.
    config.tta.lr = 1e-4
    return config

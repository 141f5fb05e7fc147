"""What each part of DiTTA gives, on the demo's videos: the paper's ablation and a few more.

    python -m ditta_jax.compare --config configs/ablations.py

    warm-up  part               mIoU   (VSPW, SegFormer-B5; second-hand notes on the paper)
    50 %     frozen student     48.7
    50 %     add-on only        49.9
    50 %     distillation only  50.8
    50 %     contrast only      50.2
    50 %     all                52.3

The paper's parts are read here as: the add-on alone learns (cross entropy of the fused branch, the
decoder stays); only the cross entropy of the plain branch, without the fusion of Eq. 3 (a threshold
that no reliability is below); only the contrastive loss, likewise. "statistics only" learns
nothing: five passes of BatchNorm's running statistics. Other data and sizes: set student, data and
input as in configs/vspw.py. A tiny variant: --config.data.max_videos=2
"""

from ditta_jax.configuration import default_config

PARTS = (
    "add-on only: tta.train=addon; loss.terms=fused",
    "distillation only: loss.terms=plain; fusion.threshold=0",
    "contrast only: loss.terms=contrast; fusion.threshold=0",
    "statistics only: tta.lr=0; fusion.threshold=0",
)
CHOICES = (
    "loss on logits: loss.on=logits",
    "radius 1: fusion.radius=1",  # the demo student's own is 2
    "radius 4: fusion.radius=4",
    "one pass: tta.iters=1",
    "classifier only: tta.train=classifier",
    "norms: tta.train=norms",
)


def get_config():
    """Settings of the demo, varied."""
    config = default_config()
    config.name = "ablations"
    config.methods = ("frozen", "ditta")
    config.compare.percents = (50.0,)
    config.compare.seeds = (0, 1, 2)
    config.compare.ablations = PARTS + CHOICES
    config.input.scale = (320, 192)
    # both as in configs/demo.py, chosen on the demo data's split video_val
    config.teacher.mask_threshold = 2.0
    config.tta.lr = 1e-4
    config.report.update(overlays=0, page=0, video=False, predictions=False)
    return config

"""The layout of `Segformer` in segmentation_models.pytorch, with its Mix Transformer encoders."""

from ditta_jax.students.layouts.released_layout import RELEASED
from ditta_jax.students.layouts.weight_layout import (
    BATCH_NORM,
    LINEAR,
    POINTWISE,
    POINTWISE_NO_BIAS,
    Layer,
)

# The encoder is the released one under another name; the decoder's levels come coarsest first.
_ENCODER = tuple(row for row in RELEASED.level if str(row.there).startswith("backbone."))

SMP = RELEASED._replace(
    name="segmentation_models.pytorch",
    decoder=("decoder.", "mlp_stage.0.linear.weight"),
    beside="segmentation_head.",
    level=(
        *_ENCODER,
        Layer("decoder.mlp_stage.{coarse}.linear", "decoder.linear_{number}", LINEAR),
    ),
    head=(
        Layer("decoder.fuse_stage.0", "decoder.fuse", POINTWISE_NO_BIAS),
        Layer("decoder.fuse_stage.1", "decoder.norm", BATCH_NORM),
        Layer("segmentation_head.0", "decoder.classifier", POINTWISE),
        # It has neither of DiTTA's additions; names as if it had.
        *(layer for layer in RELEASED.head if layer.group),
    ),
)

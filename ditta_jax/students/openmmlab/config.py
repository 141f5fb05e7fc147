"""Sizes of OpenMMLab's SegFormer."""

import dataclasses

from ditta_jax.students.segformer.config import SegFormerConfig


@dataclasses.dataclass(frozen=True)
class OpenMMLabConfig(SegFormerConfig):
    """As `SegFormerConfig`; every LayerNorm has the eps of its configuration files.

    Attributes:
        patch_norm_eps: LayerNorm eps of the patch embeddings.
        reduction_norm_eps: after the reduction convolutions.
    """

    patch_norm_eps: float = 1e-6
    reduction_norm_eps: float = 1e-6

"""The student: encoder, decoder and temporal fusion in one module."""

import jax
from flax import nnx

from ditta_jax.models.config import StudentConfig
from ditta_jax.models.decoder import Decoder
from ditta_jax.models.fusion import TemporalFusion
from ditta_jax.models.mit import MixTransformer


class Student(nnx.Module):
    """SegFormer with DiTTA's projection head and temporal fusion module."""

    def __init__(self, config: StudentConfig, rngs: nnx.Rngs):
        """Build all parts with fresh weights."""
        self.encoder = MixTransformer(config, rngs)
        self.decoder = Decoder(config, rngs)
        self.fusion = TemporalFusion(config, rngs)
        self.config = config


def new_student(config: StudentConfig, seed: int = 0) -> Student:
    """A student with fresh weights, from an explicit seed, built in one compiled program."""
    return nnx.jit(lambda: Student(config, nnx.Rngs(params=jax.random.key(seed))))()

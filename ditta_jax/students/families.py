"""Families of students, by name: the one list of architectures that a checkpoint may hold."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from flax import nnx

from ditta_jax.errors import UserError
from ditta_jax.students import protocol
from ditta_jax.students.espnetv2.config import ESPNetv2Config
from ditta_jax.students.espnetv2.decoder import Decoder as ESPNetv2Decoder
from ditta_jax.students.espnetv2.encoder import Encoder as ESPNetv2Encoder
from ditta_jax.students.initialisation import as_torch
from ditta_jax.students.openmmlab.config import OpenMMLabConfig
from ditta_jax.students.openmmlab.decoder import LevelNormDecoder
from ditta_jax.students.protocol import StudentConfig
from ditta_jax.students.segformer.config import SegFormerConfig
from ditta_jax.students.segformer.decoder import Decoder
from ditta_jax.students.segformer.mit import MixTransformer, as_the_authors


class Family(NamedTuple):
    """How students of a family are made.

    Attributes:
        config: its frozen dataclass of sizes, a `protocol.StudentConfig`.
        encoder: builds a `protocol.Encoder` from sizes and random streams.
        decoder: builds a `protocol.Decoder` likewise.
        fresh_encoder: initial value of an encoder's kernel or bias, like
            `initialisation.as_torch`.
    """

    config: type
    encoder: Callable[[Any, nnx.Rngs], protocol.Encoder]
    decoder: Callable[[Any, nnx.Rngs], protocol.Decoder]
    fresh_encoder: Callable[..., np.ndarray] = as_torch


FAMILIES = {
    "segformer": Family(SegFormerConfig, MixTransformer, Decoder, as_the_authors),
    "openmmlab": Family(OpenMMLabConfig, MixTransformer, LevelNormDecoder, as_the_authors),
    "espnetv2": Family(ESPNetv2Config, ESPNetv2Encoder, ESPNetv2Decoder),
}
# Checkpoints from before there were families do not name theirs.
FIRST = "segformer"


def register(name: str, family: Family) -> None:
    """Add a family, so that its students are built, saved and loaded like the others."""
    FAMILIES[name] = family


def named(name: str) -> Family:
    """The family of that name.

    Raises:
        UserError: there is none.
    """
    if name not in FAMILIES:
        raise UserError(f"student family must be one of {', '.join(FAMILIES)}, not {name!r}")
    return FAMILIES[name]


def name_of(config: StudentConfig) -> str:
    """The name of the family that sizes belong to."""
    return next(name for name, family in FAMILIES.items() if type(config) is family.config)


def family_of(config: StudentConfig) -> Family:
    """The family that sizes belong to."""
    return FAMILIES[name_of(config)]


def sizes(name: str, num_classes: int, settings: Mapping[str, Any]) -> StudentConfig:
    """Sizes of a family from settings of the same names; what they lack keeps its default.

    Args:
        name: of the family.
        num_classes: C.
        settings: may hold more than the family knows.
    """
    config = named(name).config
    known = {field.name for field in dataclasses.fields(config)}
    return config(num_classes, **{key: settings[key] for key in settings if key in known})

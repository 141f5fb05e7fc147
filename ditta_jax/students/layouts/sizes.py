"""Sizes of a student, read off the shapes of its weights."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ditta_jax.errors import UserError
from ditta_jax.students.layouts.weight_layout import Layout
from ditta_jax.students.segformer.config import SegFormerConfig

# What shapes do not show; files that this package wrote carry these fields along.
_UNSEEN = (
    *("heads", "radius", "patch_norm_eps", "block_norm_eps", "reduction_norm_eps"),
    *("mean", "std"),
)
_LEVELS = range(4)


def student_config(
    layout: Layout,
    arrays: Mapping[str, np.ndarray],
    source: str,
    heads: tuple[int, ...] | None = None,
    written: Mapping[str, Any] | None = None,
    decoder: tuple[int, int] | None = None,
) -> SegFormerConfig:
    """Sizes of the student from the shapes of its weights.

    Args:
        layout: that the keys follow.
        arrays: by the layout's keys.
        source: names the origin in messages.
        heads: attention heads per level, which no shape shows; (1, 2, 5, 8) by default.
        written: sizes that a file of this package names.
        decoder: number of classes and channels of the embedding where there is no decoder.

    Raises:
        UserError: a key that fixes a size is missing or of another rank, or the sizes do not fit.
    """

    def shape(here: str, level: int = 0) -> tuple[int, ...]:
        key = _key(layout, here, level)
        if key not in arrays:
            raise UserError(f"{source} does not fit the {layout.name} layout: '{key}' is missing")
        if arrays[key].ndim < 2:
            raise UserError(
                f"{source}: {key} is {arrays[key].shape}, expected the axes of a kernel"
            )
        return arrays[key].shape

    patch, block = (
        "encoder.stages.{level}.patch_embed.proj",
        "encoder.stages.{level}.blocks.{block}",
    )
    channels = tuple(shape(patch, level)[0] for level in _LEVELS)
    unseen = dict(layout.fixed) | {k: v for k, v in (written or {}).items() if k in _UNSEEN}
    stated = unseen.pop("heads", (1, 2, 5, 8))
    heads = _heads(heads or stated, channels, source)
    reductions = []
    for level in _LEVELS:
        key = _key(layout, f"{block}.attn.sr", level)
        reductions.append(arrays[key].shape[-1] if key in arrays else 1)
    num_classes, embed_dim = decoder or shape("decoder.classifier")[:2]
    try:
        return layout.config(
            num_classes=num_classes,
            channels=channels,
            depths=tuple(_depth(layout, arrays, level) for level in _LEVELS),
            heads=heads,
            reductions=tuple(reductions),
            mlp_ratio=shape(f"{block}.mlp.fc1")[0] // max(channels[0], 1),
            embed_dim=embed_dim,
            **unseen,
        )
    except UserError as error:
        raise UserError(f"{source}: {error}") from None


def _heads(heads: Sequence[int], channels: Sequence[int], source: str) -> tuple[int, ...]:
    fits = len(heads) == len(channels) and all(
        h >= 1 and c % h == 0 for c, h in zip(channels, heads, strict=True)
    )
    if not fits:
        raise UserError(
            f"{source}: channels {channels} cannot be split over heads {tuple(heads)}; "
            "say which with --heads a,b,c,d"
        )
    return tuple(heads)


def with_written(
    config: SegFormerConfig, written: Mapping[str, Any], source: str
) -> SegFormerConfig:
    """Sizes with what a file of this package says that its neighbours do not.

    Raises:
        UserError: a value that no student has.
    """
    unseen = {key: value for key, value in written.items() if key in _UNSEEN}
    try:
        return dataclasses.replace(config, **unseen)
    except UserError as error:
        raise UserError(f"{source}: {error}") from None


def _key(layout: Layout, here: str, level: int) -> str:
    """The foreign key of a kernel of the student, of the first block where it is a block's."""
    rows = (*layout.level, *layout.block, *layout.reduced_block, *layout.head)
    there = next(row.there for row in rows if row.here == here)
    name = there if isinstance(there, str) else there[0]
    indices = {"level": level, "number": level + 1, "coarse": len(_LEVELS) - 1 - level}
    return name.format(block=0, **indices) + ".weight"


def _depth(layout: Layout, arrays: Mapping[str, np.ndarray], level: int) -> int:
    """One more than the highest block index of a level; at least 1, so that keys are missed."""
    there = layout.block[0].there
    before = str(there).partition("{block}")[0].format(level=level, number=level + 1)
    pattern = re.compile(re.escape(before) + r"(\d{1,6})\.")
    found = [int(match[1]) for key in arrays if (match := pattern.match(key))]
    return max(found, default=0) + 1

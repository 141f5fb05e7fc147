"""How predictions are scored: as the data's classes, which need not be the student's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ditta_jax.data.class_tables import NO_COUNTERPART, class_map
from ditta_jax.metrics.counts import Counting
from ditta_jax.metrics.scores import VideoScores

Palette = Sequence[tuple[int, int, int]]


class Scoring(NamedTuple):
    """What the scores are about.

    Attributes:
        classes: names of the rows and columns of the confusion matrix.
        truth_classes: number of classes of the ground truth.
        table: UInt8["P"], class of the ground truth of each of the student's, or None.
        truth_palette: RGB of the ground truth's classes, for masks in colour; empty: not known.
    """

    classes: tuple[str, ...]
    truth_classes: int
    table: np.ndarray | None
    truth_palette: Palette

    def start(self, windows: Sequence[int]) -> VideoScores:
        """The scores of one video, to be counted."""
        return VideoScores(self.truth_classes, windows, self.table)

    def counting(self, windows: Sequence[int]) -> Counting:
        """What a device counts of one video for its scores."""
        table = () if self.table is None else tuple(self.table.tolist())
        return Counting(self.truth_classes + bool(table), tuple(windows), table)


def scoring_of(table: str, classes: Sequence[str], palette: Palette = ()) -> Scoring:
    """The scoring that `data.class_map` asks for; empty: the student's classes are the data's.

    Args:
        table: `data.class_map`.
        classes: the student's.
        palette: their colours.

    Raises:
        UserError: no such table, or it is of other classes.
    """
    if not table:
        return Scoring(tuple(classes), len(classes), None, palette)
    found = class_map(table)
    names = (*found.target, NO_COUNTERPART)
    return Scoring(names, len(found.target), found.of_student(classes), found.palette)

"""The ground truth in the teacher's place: what perfect masks would give.

`teacher.config = "ground-truth"` (labelled videos only). An object is all of a class: one mask per
frame and class. The student still votes on what each object is (Eq. 4).
"""

import numpy as np

from ditta_jax import mask_rle
from ditta_jax.data.video import Video
from ditta_jax.errors import UserError
from ditta_jax.losses import IGNORE
from ditta_jax.teacher_records import Masklets, Request

NAME = "ground-truth"


def ground_truth_masklets(video: Video, request: Request) -> Masklets:
    """Masks of the classes of the warm-up frames' ground truth, as objects without names.

    Raises:
        UserError: the video has no labels.
    """
    if video.labels is None:
        raise UserError(f"{video.name}: teacher.config {NAME!r} needs labels, and it has none")
    labels = [video.labels[t] for t in range(len(request.frames))]
    classes = np.unique(np.concatenate([np.unique(label) for label in labels]))
    objects = {int(c): i for i, c in enumerate(classes[classes != IGNORE], start=1)}
    frames = tuple(
        tuple((i, mask_rle.encode(label == c)) for c, i in objects.items() if (label == c).any())
        for label in labels
    )
    ids = tuple(objects.values())
    return Masklets(video.size, ids, frames, request.pixels_per_class(), {"teacher": NAME})

"""Videos and stills of procedural streets, by seed.

    for picture in video(seed=3, frames=60, size=(192, 320), severity=1.0): ...

The same arguments give the same bytes (with the same versions of numpy and OpenCV).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ditta_jax.data.procedural.camera import make_path
from ditta_jax.data.procedural.ground import make_ground
from ditta_jax.data.procedural.render import Picture, render
from ditta_jax.data.procedural.scene import make_scene
from ditta_jax.data.procedural.shift import NEUTRAL, SEVERITY, apply_shift, draw_shift

SIZE = (192, 320)  # H, W
LENGTH = 60  # frames of a video; camera paths are made for it


def video(
    seed: Sequence[int],
    frames: int = LENGTH,
    size: tuple[int, int] = SIZE,
    severity: float = SEVERITY,
) -> Iterator[Picture]:
    """A street filmed under one shift of appearance.

    Args:
        seed: numbers that name the video.
        frames: at most 60.
        size: (H, W).
        severity: of the shift, see `shift.SEVERITY`.

    Yields:
        one `Picture` per frame.
    """
    generator = np.random.default_rng(list(seed))
    scene = make_scene(generator, size[1], size[0])
    ground = make_ground(generator)
    shift = draw_shift(generator, severity) if severity > 0 else NEUTRAL
    for time in range(frames):
        picture = render(scene, ground, float(time), size)
        yield picture._replace(frame=apply_shift(picture.frame, picture.depth, shift, generator))


def stills(seed: Sequence[int], count: int = 1, size: tuple[int, int] = SIZE) -> Iterator[Picture]:
    """Single frames in clear conditions.

    All are taken in one street with other cameras, other ground, other weather and at other times:
    most of the time goes into drawing a street's things.

    Args:
        seed: numbers that name the street.
        count: of frames.
        size: (H, W).

    Yields:
        one `Picture` each.
    """
    generator = np.random.default_rng(list(seed))
    scene = make_scene(generator, size[1], size[0])
    for _ in range(count):
        ground = make_ground(generator)
        moment = scene._replace(path=make_path(generator, size[1], size[0]))
        yield render(moment, ground, float(generator.uniform(0, LENGTH - 1)), size)

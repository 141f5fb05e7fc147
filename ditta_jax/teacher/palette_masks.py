"""Palette PNGs (DAVIS, YouTube-VOS: pixel value = object id) as masklets: any tracker can teach."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from ditta_jax.errors import UserError
from ditta_jax.names import kept_name
from ditta_jax.teacher import mask_rle
from ditta_jax.teacher.cache import Masklets, Request


def read_palette_masks(folder: Path | str, request: Request) -> Masklets:
    """Reads `<folder>/<frame name>.png` of every frame of a request.

    Pixel value 0 is no object; the other values become objects 1, 2, ... in ascending order.
    Masks of such images never overlap.

    Raises:
      UserError: a PNG is missing, unreadable, coloured or of another size than the frames.
    """
    folder = Path(folder)
    maps = [_read_map(folder / kept_name(name, ".png"), request.size) for name in request.frames]
    values = sorted(set().union(*(np.unique(value_map).tolist() for value_map in maps)) - {0})
    frames = tuple(
        tuple(
            (object_id, mask_rle.encode(value_map == value))
            for object_id, value in enumerate(values, start=1)
            if (value_map == value).any()
        )
        for value_map in maps
    )
    return Masklets(
        request.size,
        tuple(range(1, len(values) + 1)),
        frames,
        request.pixels_per_class(),
        {"teacher": "palette", "folder": folder.name, "pixel_values": values},
    )


def _read_map(path: Path, size: tuple[int, int]) -> UInt8[np.ndarray, "H W"]:
    from PIL import Image

    try:
        with Image.open(path) as image:
            if image.mode not in ("P", "L", "1"):
                raise UserError(f"{path}: {image.mode} image, expected a palette or grey one")
            value_map = np.asarray(image, np.uint8)
    except FileNotFoundError:
        raise UserError(f"{path}: no such mask of a frame") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as PNG ({error})") from None
    if value_map.shape != size:
        raise UserError(f"{path}: size {value_map.shape}, the frames are {size} (height, width)")
    return value_map

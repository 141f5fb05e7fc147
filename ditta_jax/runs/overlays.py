"""Pictures to look at: the frame, the truth and the methods' predictions side by side."""

import functools
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from ditta_jax.files import write_whole
from ditta_jax.labels import IGNORE

_PANEL_WIDTH = 480  # larger frames are scaled down to it: four panels fit a screen
_TEXT = 14
_MARGIN = 6
_OPACITY = 0.6


def blend(
    frame: UInt8[np.ndarray, "H W 3"],
    label: UInt8[np.ndarray, "H W"],
    palette: Sequence[Sequence[int]],
) -> UInt8[np.ndarray, "H W 3"]:
    """The frame with each pixel tinted in the colour of its class; ignored pixels untouched."""
    colours = np.zeros((256, 3), np.float32)
    colours[: len(palette)] = np.asarray(palette, np.float32).reshape(-1, 3)
    tinted = (1 - _OPACITY) * frame + _OPACITY * colours[label]
    ignored = (label == IGNORE)[..., None]
    return np.where(ignored, frame, np.rint(tinted)).astype(np.uint8)


def write_overlay(
    path: Path,
    frame: UInt8[np.ndarray, "H W 3"],
    labels: Mapping[str, UInt8[np.ndarray, "H W"]],
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
) -> None:
    """Write one picture: the frame, then one panel per label map, then a legend.

    Args:
        path: the PNG to write.
        frame: RGB.
        labels: title of each panel and its label map, in order; leave out what a video lacks.
        classes: names, in label order.
        palette: RGB of each class.
    """
    encoded = io.BytesIO()
    side_by_side(frame, labels, classes, palette).save(encoded, "png")
    write_whole(path, encoded.getvalue())


def side_by_side(
    frame: UInt8[np.ndarray, "H W 3"],
    labels: Mapping[str, UInt8[np.ndarray, "H W"]],
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
    legend_lines: int | None = None,
) -> Image.Image:
    """The picture that `write_overlay` writes.

    Args:
        frame: as there.
        labels: as there.
        classes: as there.
        palette: as there.
        legend_lines: the legend's height in lines, whatever classes are present: what does not
            fit is left out. None: as many as it needs.
    """
    height, width = frame.shape[:2]
    scale = min(1.0, _PANEL_WIDTH / width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    panels = {"input": frame} | {t: blend(frame, label, palette) for t, label in labels.items()}
    counted = [np.bincount(label.ravel(), minlength=IGNORE)[:IGNORE] for label in labels.values()]
    present = np.flatnonzero(sum(counted)).tolist()
    full_width = len(panels) * (size[0] + _MARGIN) + _MARGIN
    legend = _legend([(classes[c], tuple(palette[c])) for c in present], full_width, legend_lines)
    top = _TEXT + 2 * _MARGIN
    picture = Image.new("RGB", (full_width, top + size[1] + legend.height), "white")
    draw, font = ImageDraw.Draw(picture), _font()
    for place, (title, panel) in enumerate(panels.items()):
        x = _MARGIN + place * (size[0] + _MARGIN)
        draw.text((x, _MARGIN - 2), title, "black", font)
        picture.paste(Image.fromarray(panel).resize(size, Image.Resampling.BOX), (x, top))
    picture.paste(legend, (0, top + size[1]))
    return picture


def _legend(
    entries: Sequence[tuple[str, tuple[int, ...]]], width: int, lines: int | None = None
) -> Image.Image:
    """Colour squares and class names, as many lines as they need or as there are."""
    font, line = _font(), _TEXT + _MARGIN
    places, x, y = [], _MARGIN, _MARGIN
    for name, _ in entries:
        needed = _TEXT + _MARGIN + round(font.getlength(name)) + 2 * _MARGIN
        if x + needed > width and x > _MARGIN:
            x, y = _MARGIN, y + line
        places.append((x, y))
        x += needed
    height = _MARGIN + line * lines if lines else y + line
    legend = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(legend)
    for (name, colour), (x, y) in zip(entries, places, strict=True):
        draw.rectangle((x, y, x + _TEXT - 2, y + _TEXT - 2), fill=colour, outline="black")
        draw.text((x + _TEXT + _MARGIN // 2, y - 2), name, "black", font)
    return legend


@functools.cache
def _font() -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size=_TEXT)


def chosen_frames(first: int, end: int, count: int) -> list[int]:
    """At most `count` frames of first … end-1, evenly spread: the first and the last among them."""
    if count <= 0 or end <= first:
        return []
    return sorted({round(t) for t in np.linspace(first, end - 1, count)})

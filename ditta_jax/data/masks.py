"""Label maps: from the forms in which they are saved to class indices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ditta_jax.data.image_files import check_whole, format_of, header_of, open_picture, upright
from ditta_jax.data.images import check_size, load
from ditta_jax.errors import UserError
from ditta_jax.labels import IGNORE

CONVENTIONS = ("plain", "vspw", "cityscapes")
READINGS = ("auto", "values", "colours")

# Cityscapes' ids with a train id; all others are not scored (its scripts' labels.py).
CITYSCAPES_TRAIN_IDS = {
    **{7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9},
    **{23: 10, 24: 11, 25: 12, 26: 13, 27: 14, 28: 15, 31: 16, 32: 17, 33: 18},
}
_CITYSCAPES_IDS = 34
_VSPW_STRAY = 252  # found in a few of VSPW's masks by its users; means nothing
_WHITE_OF_16_BITS = 65535  # what 255 becomes where 8 bits were stretched to 16


class MaskRules(NamedTuple):
    """How the values of masks are read.

    Attributes:
        convention: "plain": values are classes, those in `ignore` become 255; "vspw": 0, 252 and
            255 become 255, the others are lowered by one (SPEC "Metrics"); "cityscapes": ids become
            the 19 train ids, ids without one 255.
        ignore: values without meaning ("plain").
        num_classes: values at or above it are refused; 0: not checked.
        palette: RGB per class, for masks in colour; empty: such masks are refused.
        ignore_colours: colours without meaning, unless the palette has them.
        reading: of pictures that could be either: "values", "colours", or "auto".
    """

    convention: str = "plain"
    ignore: tuple[int, ...] = (IGNORE,)
    num_classes: int = 0
    palette: tuple[tuple[int, int, int], ...] = ()
    ignore_colours: tuple[tuple[int, int, int], ...] = ((0, 0, 0),)
    reading: str = "auto"


def check_rules(rules: MaskRules) -> MaskRules:
    """Return the rules; UserError for a name that does not exist."""
    for key, value, known in (
        ("data.convention", rules.convention, CONVENTIONS),
        ("data.mask_reading", rules.reading, READINGS),
    ):
        if value not in known:
            raise UserError(f"{key}: unknown convention {value!r}; known: {', '.join(known)}")
    return rules


def read_labels(
    data: bytes, where: str, size: tuple[int, int] | None = None, rules: MaskRules | None = None
) -> np.ndarray:
    """Class indices from a mask file's bytes.

    Args:
        data: the file's bytes.
        where: the file's name for messages.
        size: the expected (H, W), or None.
        rules: see `MaskRules`.

    Returns:
        UInt8["H W"], 255 = ignore.

    Raises:
        UserError: damaged, lossy, another size, a value or colour that is no class.
    """
    rules = rules or MaskRules()
    pixels, opaque = decode_pixels(data, where, size)
    if rules.reading == "colours" and pixels.ndim == 2 and format_of(data, where) == "PNG":
        pixels = _colours_of_palette(data, where, pixels)
    labels = _by_value_or_colour(pixels, where, rules)
    if opaque is not None:
        labels = np.where(opaque, labels, np.uint8(IGNORE))
    return labels


def decode_mask(data: bytes, where: str, size: tuple[int, int] | None = None) -> np.ndarray:
    """A label map's stored values: those of a grey picture, a palette picture's indices.

    Returns:
        UInt8["H W"].

    Raises:
        UserError: damaged, lossy, in colour, of 16 bits, other size.
    """
    values, opaque = decode_pixels(data, where, size)
    if values.ndim == 3 or opaque is not None:
        raise UserError(f"{where}: a mask in colour; expected a grey or palette PNG")
    if values.dtype != np.uint8:
        raise UserError(f"{where}: a mask of 16 bits per value; expected 8")
    return values


def decode_pixels(
    data: bytes, where: str, size: tuple[int, int] | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """A mask's pixels as stored and upright, and where they are opaque.

    Args:
        data: the file's bytes.
        where: the file's name for messages.
        size: the expected (H, W), or None.

    Returns:
        UInt8 or UInt16["H W"], or UInt8["H W 3"] RGB; Bool["H W"], None where all is opaque.
    """
    check_whole(data, where)
    check_lossless(data, where)
    header = header_of(data, where)
    with open_picture(data, where) as picture:
        load(picture, where)
        pixels, opaque = _pixels(picture, header.bits, where)
    pixels = upright(pixels, header.turn)
    check_size(pixels.shape[:2], size, where, "a mask")
    if opaque is not None:
        opaque = upright(opaque, header.turn)
    return pixels, opaque


def check_lossless(data: bytes, where: str) -> None:
    """Raise UserError for a format that does not keep values: between two classes lie others."""
    kind = format_of(data, where)
    lossy = kind == "JPEG" or (kind == "WEBP" and b"VP8L" not in data[:4096])
    if kind == "TIFF":
        lossy = open_picture(data, where).info.get("compression") in ("jpeg", "tiff_jpeg", "webp")
    if lossy:
        raise UserError(
            f"{where}: masks must be PNG files, {kind} changes their values (blurred edges become"
            " other classes); save it from the original as PNG"
        )


def _pixels(picture, bits: int, where: str) -> tuple[np.ndarray, np.ndarray | None]:
    """See `decode_pixels`; as the file has them."""
    mode = picture.mode
    if mode in ("RGBA", "LA", "PA"):
        alpha = np.array(picture.getchannel("A"))
        if not np.isin(alpha, (0, 255)).all():
            raise UserError(f"{where}: a mask that is half transparent; save it opaque")
        opaque = None if alpha.all() else alpha > 0
        return np.array(picture.convert("RGB" if mode == "RGBA" else "L")), opaque
    if bits > 8 and mode not in ("I;16", "I;16B", "I"):
        raise UserError(f"{where}: a mask in colour of {bits} bits per value; save it with 8 bits")
    if mode == "1":
        return np.array(picture, np.uint8), None
    if mode == "L" and bits < 8:  # Pillow spreads them over 0..255; what was stored are indices
        return np.array(picture) // np.uint8(255 // (2**bits - 1)), None
    if mode in ("L", "P", "RGB"):
        return np.array(picture), None
    if mode in ("I;16", "I;16B", "I"):
        values = np.array(picture).astype(np.int64)
        if values.min() < 0 or values.max() > _WHITE_OF_16_BITS:
            raise UserError(f"{where}: a mask with values outside 0 to 65535")
        return values.astype(np.uint16), None
    raise UserError(f"{where}: a mask must be a grey, palette or RGB picture, not mode {mode}")


def _colours_of_palette(data: bytes, where: str, indices: np.ndarray) -> np.ndarray:
    """The colours that a palette PNG shows; the indices themselves of any other picture."""
    header = header_of(data, where)
    if header.mode != "P":
        return indices
    with open_picture(data, where) as picture:
        return upright(np.array(load(picture, where).convert("RGB")), header.turn)


def _by_value_or_colour(pixels: np.ndarray, where: str, rules: MaskRules) -> np.ndarray:
    if pixels.ndim == 2:
        return to_labels(pixels, where, rules)
    grey = (pixels == pixels[..., :1]).all()
    if rules.reading == "values" and not grey:
        raise UserError(f"{where}: a mask in colour; data.mask_reading='values' expects grey ones")
    if rules.reading == "values" or (grey and not rules.palette):
        return to_labels(pixels[..., 0], where, rules)
    if rules.reading == "colours" or not grey:
        return colours_to_labels(pixels, where, rules)
    return _only_reading(pixels, where, rules)


def _only_reading(pixels: np.ndarray, where: str, rules: MaskRules) -> np.ndarray:
    """Labels of an RGB picture in which all is grey: values three times, or greys of the palette.

    Raises:
        UserError: it reads both ways, and differently.
    """
    readings, errors = [], []
    for read, given in ((colours_to_labels, pixels), (to_labels, pixels[..., 0])):
        try:
            readings.append(read(given, where, rules))
        except UserError as error:
            errors.append(error)
    if not readings:
        raise errors[-1]
    if len(readings) == 2 and not np.array_equal(readings[0], readings[1]):
        raise UserError(
            f"{where}: a grey mask saved as RGB reads as values and as colours of the palette;"
            " say which by data.mask_reading='values' or 'colours'"
        )
    return readings[-1]


def to_labels(raw: np.ndarray, where: str, rules: MaskRules | None = None) -> np.ndarray:
    """Class indices from a mask's values.

    Args:
        raw: UInt8 or UInt16["H W"] as stored.
        where: the file's name for messages.
        rules: see `MaskRules`.

    Returns:
        UInt8["H W"], 255 = ignore.

    Raises:
        UserError: a value that is neither a class nor ignored.
    """
    rules = rules or MaskRules()
    table = _table(rules)
    wrong = table < 0
    if raw.dtype == np.uint8:
        table, wrong = table[:256], wrong[:256]
    labels = table.astype(np.uint8)[raw]
    if wrong[raw].any():
        value = int(raw[wrong[raw]].min())
        classes = f"{rules.num_classes} classes, " if rules.num_classes else ""
        raise UserError(
            f"{where}: value {value} is no class ({classes}convention"
            f" {rules.convention!r}); name it in data.ignore or check data.convention"
        )
    return labels


def _table(rules: MaskRules) -> np.ndarray:
    """Int64[65536]: label of each stored value; below 0 where it is none."""
    values = np.arange(_WHITE_OF_16_BITS + 1)
    if rules.convention == "vspw":
        table = values - 1
        table[[0, _VSPW_STRAY]] = IGNORE
    elif rules.convention == "cityscapes":
        table = np.where(values < _CITYSCAPES_IDS, IGNORE, values)
        table[list(CITYSCAPES_TRAIN_IDS)] = list(CITYSCAPES_TRAIN_IDS.values())
        table[_CITYSCAPES_IDS:] = -1
    else:
        table = values.copy()
        table[[value for value in rules.ignore if 0 <= value < len(table)]] = IGNORE
    if rules.convention != "plain":
        table[IGNORE] = IGNORE
    table[_WHITE_OF_16_BITS] = IGNORE
    limit = rules.num_classes or IGNORE + 1
    none = (table >= limit) & (table != IGNORE)
    kept = np.where(none, table - (1 << 20), table)  # the low byte stays what was stored
    return kept


def colours_to_labels(pixels: np.ndarray, where: str, rules: MaskRules) -> np.ndarray:
    """Class indices from colours, each exactly one of the palette's.

    Args:
        pixels: UInt8["H W 3"] RGB.
        where: the file's name for messages.
        rules: its palette and `ignore_colours` are read.

    Returns:
        UInt8["H W"], 255 = ignore.

    Raises:
        UserError: no palette, a colour that is not in it, or one that two classes share.
    """
    if not rules.palette:
        raise UserError(
            f"{where}: a mask in colour; give the classes' colours in `palette`, or save indices"
        )
    codes = _code(pixels)
    meaning: dict[int, int] = {_code(np.array(colour)): IGNORE for colour in rules.ignore_colours}
    own = [int(_code(np.array(colour))) for colour in rules.palette]
    meaning |= {code: number for number, code in reversed(list(enumerate(own)))}
    labels = np.full(codes.shape, IGNORE, np.uint8)
    for code in np.unique(codes).tolist():
        here = codes == code
        if code not in meaning or own.count(code) > 1:
            row, column = (int(places[0]) for places in np.nonzero(here))
            colour = tuple(int(value) for value in pixels[row, column])
            fault = "two classes' colour" if code in meaning else "no class's colour"
            raise UserError(
                f"{where}: {colour} at row {row}, column {column} is {fault}; correct `palette`,"
                " or name it in data.ignore_colours"
            )
        labels[here] = meaning[code]
    return labels


def _code(pixels: np.ndarray):
    """One number per RGB colour."""
    return pixels.astype(np.int64) @ np.array([65536, 256, 1])


def sizes_differ(mask: Sequence[int], frame: Sequence[int], stored: Sequence[int]) -> str:
    """How a mask's size differs from its frame's, in words; empty where it does not.

    Args:
        mask: (H, W).
        frame: (H, W) as shown.
        stored: (H, W) as the file has it, before its orientation is applied.
    """
    if tuple(mask) == tuple(frame):
        return ""
    rows, columns = mask[0] - frame[0], mask[1] - frame[1]
    sizes = f"a mask of {mask[0]}x{mask[1]} (rows x columns), expected {frame[0]}x{frame[1]}"
    if tuple(mask) == tuple(stored):
        return (
            f"{sizes}: it fits the frame as stored, not as shown (its orientation tag turns it);"
            " turn the mask, or turn the frame and remove its tag"
        )
    if abs(rows) + abs(columns) == 1:
        axis, step = ("row", rows) if rows else ("column", columns)
        return f"{sizes}: one {axis} {'more' if step > 0 else 'less'} than its frame"
    return sizes

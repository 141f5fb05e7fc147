"""COCO compressed run-length encoding of masks, in NumPy.

The same strings as `pycocotools.mask` writes and reads (column-major runs, first run of zeros,
differences to the run two before, five bits a character), with every string checked: the C
reader of pycocotools runs past the end of a damaged one.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int

_FIRST_CHARACTER = 48  # "0"
_BITS = 5
_MORE = 1 << _BITS  # set on all but the last character of a number
_SIGN = 1 << (_BITS - 1)  # of the last character
_MOST_CHARACTERS = 8  # of one number: 40 bits, far beyond any image


def encode(mask: Bool[np.ndarray, "H W"]) -> str:
    """Return the compressed `counts` of one mask."""
    if mask.ndim != 2:
        raise ValueError(f"mask of shape {mask.shape}, expected H W")
    mask = np.asarray(mask, bool)
    # Runs alternate from zeros; a mask that begins with ones has an empty first run.
    starts = [0, 0] if mask[0, 0] else [0]
    return _to_string(np.diff(np.concatenate([starts, _changes(mask), [mask.size]])))


def decode(counts: str, size: tuple[int, int]) -> Bool[np.ndarray, "H W"]:
    """Return the mask of compressed `counts`; ValueError if they do not describe `size`."""
    runs = _checked_runs(counts, size)
    flat = np.repeat(np.arange(runs.size) % 2 == 1, runs)
    return flat.reshape(size[::-1]).T


def area(counts: str, size: tuple[int, int]) -> int:
    """Return the number of set pixels without decoding; ValueError as in `decode`."""
    return int(_checked_runs(counts, size)[1::2].sum())


def check(counts: str, size: tuple[int, int]) -> None:
    """Raise ValueError unless `counts` are the runs of a mask of this size (H, W)."""
    _checked_runs(counts, size)


def compress(runs: list[int], size: tuple[int, int]) -> str:
    """Return the compressed `counts` of plain run lengths; ValueError unless they fit `size`."""
    pixels = size[0] * size[1]
    if len(runs) > pixels + 1 or any(type(n) is not int or not 0 <= n <= pixels for n in runs):
        raise ValueError("run lengths are not whole numbers within the image")
    counts = _to_string(np.array(runs, np.int64))
    check(counts, size)
    return counts


def _checked_runs(counts: str, size: tuple[int, int]) -> Int[np.ndarray, " runs"]:
    height, width = size
    if not isinstance(counts, str) or len(counts) > _MOST_CHARACTERS * (height * width + 1):
        raise ValueError("run lengths are not a string, or longer than any of this size")
    runs = _from_string(counts, height * width)
    if (runs < 0).any() or int(runs.sum()) != height * width:
        raise ValueError(f"run lengths do not add up to {height} x {width} pixels")
    return runs


def _changes(mask: Bool[np.ndarray, "H W"]) -> Int[np.ndarray, " changes"]:
    """Places, down one column after another, whose pixel differs from the one before.

    Found along the rows, as the mask lies in memory: to turn it takes longer than all the rest.
    """
    height, width = mask.shape
    rows, columns = np.divmod(np.flatnonzero(mask[1:] != mask[:-1]), width)
    tops = 1 + np.flatnonzero(mask[0, 1:] != mask[-1, :-1])
    return np.sort(np.concatenate([columns * height + rows + 1, tops * height]))


def _to_string(runs: Int[np.ndarray, " runs"]) -> str:
    deltas = runs.copy()
    deltas[3:] -= runs[1:-2]
    columns, more = [], np.ones(deltas.shape, bool)
    kept = []
    while more.any():
        kept.append(more)
        character = deltas & (_MORE - 1)
        deltas = deltas >> _BITS
        done = np.where(character & _SIGN, deltas == -1, deltas == 0)
        more = more & ~done
        columns.append(character + np.where(more, _MORE, 0) + _FIRST_CHARACTER)
    if not columns:
        return ""
    return np.stack(columns, 1)[np.stack(kept, 1)].astype(np.uint8).tobytes().decode("ascii")


def _from_string(counts: str, pixels: int) -> Int[np.ndarray, " runs"]:
    try:
        values = np.frombuffer(counts.encode("ascii"), np.uint8).astype(np.int64) - _FIRST_CHARACTER
    except UnicodeEncodeError:
        raise ValueError("run lengths are not a string of ASCII characters") from None
    if values.size == 0 or values.min() < 0 or values.max() >= 2 * _MORE or values[-1] & _MORE:
        raise ValueError("run lengths are cut off or hold a foreign character")
    last = np.flatnonzero(values & _MORE == 0)
    first = np.concatenate([[0], last[:-1] + 1])
    lengths = last - first + 1
    if lengths.max() > _MOST_CHARACTERS:
        raise ValueError("run lengths hold a number too long for any image")
    place = np.arange(values.size) - np.repeat(first, lengths)
    digits = (values & (_MORE - 1)) << (_BITS * place)
    numbers = np.add.reduceat(digits, first)
    negative = (values[last] & _SIGN) != 0
    numbers = np.where(negative, numbers - (np.int64(1) << (_BITS * lengths)), numbers)
    if (np.abs(numbers) > pixels).any():  # sums of such numbers would not fit 64 bits either
        raise ValueError("run lengths hold a number beyond the image")
    # Number i > 2 is the difference to run i - 2: two running sums, odd and even from 2 on.
    runs = numbers.copy()
    runs[1::2] = np.cumsum(numbers[1::2])
    runs[2::2] = np.cumsum(numbers[2::2])
    return runs

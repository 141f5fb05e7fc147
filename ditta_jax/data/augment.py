"""Training augmentation, and batches that depend on the seed and the step only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from ditta_jax.data.prefetch import ahead
from ditta_jax.data.preprocess import normalise
from ditta_jax.labels import IGNORE

SCALES = (0.5, 2.0)
MAX_SHARE = 0.75  # of one class in a crop's labelled pixels
TRIES = 10  # crops that are looked at for it
BRIGHTNESS = 32.0  # grey levels
CONTRAST = (0.5, 1.5)
SATURATION = (0.5, 1.5)
HUE = 9.0  # of OpenCV's 180 steps

Pair = tuple[np.ndarray, np.ndarray]


def random_scale(generator: np.random.Generator, frame: np.ndarray, label: np.ndarray) -> Pair:
    """Both resized by a factor drawn from `SCALES`; labels by nearest neighbour."""
    factor = generator.uniform(*SCALES)
    size = (max(int(frame.shape[1] * factor + 0.5), 1), max(int(frame.shape[0] * factor + 0.5), 1))
    return (
        cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR),
        cv2.resize(label, size, interpolation=cv2.INTER_NEAREST),
    )


def random_crop(
    generator: np.random.Generator, frame: np.ndarray, label: np.ndarray, crop: tuple[int, int]
) -> Pair:
    """A window of size (Hi, Wi), in which one class covers at most `MAX_SHARE` if one is found.

    Smaller pictures are filled up at the right and below: mean grey, label 255.
    """
    height, width = crop
    below, right = max(height - frame.shape[0], 0), max(width - frame.shape[1], 0)
    if below or right:
        grey = (124, 116, 104)  # becomes nearly 0
        frame = cv2.copyMakeBorder(frame, 0, below, 0, right, cv2.BORDER_CONSTANT, value=grey)
        label = cv2.copyMakeBorder(label, 0, below, 0, right, cv2.BORDER_CONSTANT, value=IGNORE)
    for _ in range(TRIES):
        y = int(generator.integers(0, frame.shape[0] - height + 1))
        x = int(generator.integers(0, frame.shape[1] - width + 1))
        window = label[y : y + height, x : x + width]
        counts = np.bincount(window.ravel(), minlength=256)
        counts[IGNORE] = 0
        if np.count_nonzero(counts) > 1 and counts.max() <= MAX_SHARE * counts.sum():
            break
    return frame[y : y + height, x : x + width], window


def random_flip(generator: np.random.Generator, frame: np.ndarray, label: np.ndarray) -> Pair:
    """Mirrored left to right in half the cases."""
    if generator.random() < 0.5:
        return frame[:, ::-1], label[:, ::-1]
    return frame, label


def photometric(generator: np.random.Generator, frame: np.ndarray) -> np.ndarray:
    """Brightness, contrast, saturation and hue, each changed in half the cases.

    Contrast comes before or after saturation and hue with equal chance.

    Args:
        generator: source of the changes.
        frame: UInt8["H W 3"] RGB.

    Returns:
        UInt8["H W 3"].
    """
    change = generator.random(5) < 0.5
    shift = generator.uniform(-BRIGHTNESS, BRIGHTNESS)
    contrast = generator.uniform(*CONTRAST)
    saturation = generator.uniform(*SATURATION)
    hue = generator.uniform(-HUE, HUE)
    levels = np.arange(256, dtype=np.float32)
    if change[0]:
        frame = cv2.LUT(frame, _levels(levels + shift))
    if change[1] and change[4]:
        frame = cv2.LUT(frame, _levels(levels * contrast))
    if change[2] or change[3]:
        hsv = cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2HSV)
        tables = np.stack([levels, levels, levels], axis=-1)
        if change[2]:
            tables[:, 1] *= saturation
        if change[3]:
            tables[:, 0] = (levels + round(hue)) % 180
        frame = cv2.cvtColor(cv2.LUT(hsv, _levels(tables)[None]), cv2.COLOR_HSV2RGB)
    if change[1] and not change[4]:
        frame = cv2.LUT(frame, _levels(levels * contrast))
    return frame


def _levels(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def augment(
    generator: np.random.Generator, frame: np.ndarray, label: np.ndarray, crop: tuple[int, int]
) -> Pair:
    """All of the above.

    Args:
        generator: source of everything random.
        frame: UInt8["H W 3"] RGB.
        label: UInt8["H W"].
        crop: (Hi, Wi).

    Returns:
        (UInt8["Hi Wi 3"], UInt8["Hi Wi"]).
    """
    frame, label = random_scale(generator, frame, label)
    frame, label = random_crop(generator, frame, label, crop)
    frame, label = random_flip(generator, frame, label)
    return photometric(generator, np.ascontiguousarray(frame)), label


def batch(
    source: Sequence[tuple[np.ndarray, ...]],
    crop: tuple[int, int],
    batch_size: int,
    seed: int,
    step: int,
) -> Pair:
    """The batch of one step, a function of its arguments.

    The source is walked through in a new random order every epoch. Frames of a clip are changed
    alike.

    Returns:
        (Float32["B Hi Wi 3"] normalised, UInt8["B Hi Wi"]); of clips of n frames, with their label
        last, Float32["B n Hi Wi 3"].
    """
    length = len(source[0]) - 1
    images = np.empty((batch_size, length, *crop, 3), np.float32)
    labels = np.empty((batch_size, *crop), np.uint8)
    for slot in range(batch_size):
        epoch, place = divmod(step * batch_size + slot, len(source))
        order = np.random.default_rng([seed, 1, epoch]).permutation(len(source))
        *frames, label = source[int(order[place])]
        for own, frame in enumerate(frames):
            generator = np.random.default_rng([seed, 2, step, slot])  # the same for all of them
            image, labels[slot] = augment(generator, frame, label, crop)
            images[slot, own] = normalise(image)
    return (images if length > 1 else images[:, 0]), labels


def batches(
    source: Sequence[tuple[np.ndarray, ...]],
    crop: tuple[int, int],
    batch_size: int,
    seed: int,
    start_step: int = 0,
    depth: int = 4,
) -> Iterator[Pair]:
    """Batches without end, made in a background thread.

    Step n has the same batch whatever `start_step`, so training resumes exactly. Close the
    iterator to end the thread.

    Args:
        source: labelled pictures, see `stills.stills`, or clips, see `clips.clips`.
        crop: (Hi, Wi).
        batch_size: B.
        seed: of the order and of the augmentation, ≥ 0.
        start_step: number of the first batch.
        depth: batches kept ready.

    Yields:
        what `batch` returns, 255 = ignore.

    Raises:
        ValueError: an empty source.
    """
    if not len(source):
        raise ValueError("no pictures to train on")

    def make() -> Iterator[Pair]:
        step = start_step
        while True:
            yield batch(source, crop, batch_size, seed, step)
            step += 1

    return ahead(make, depth)

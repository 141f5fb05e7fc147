"""The procedural streets as a TFDS data set, stored as array_record; TensorFlow is not needed.

Splits: `stills` and `stills_val` (single frames, clear), `video` and `video_val` (every video under
its own shift of appearance). One record is one frame; the frames of a video follow each other.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds

from ditta_jax.data.images import encode_jpeg, encode_png
from ditta_jax.data.procedural import shift
from ditta_jax.data.procedural.classes import CLASSES, PALETTE
from ditta_jax.data.procedural.drive import SIZE, stills, video

GENERATOR = 6  # raise it whenever the generator's output changes

_STILLS_PER_STREET = 2
# First number of every seed, so that no two splits share a street.
_SEEDS = {"stills": 11, "stills_val": 12, "video": 13, "video_val": 14}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What a data set consists of; its digest is part of the data set's name.

    Attributes:
        stills, stills_val: numbers of single frames.
        videos, videos_val: numbers of videos.
        frames: per video, at most 60.
        size: (H, W).
        severity: of the videos' shift of appearance.
    """

    stills: int = 1200
    stills_val: int = 100
    videos: int = 12
    videos_val: int = 4
    frames: int = 60
    size: tuple[int, int] = SIZE
    severity: float = shift.SEVERITY

    def digest(self) -> str:
        """Eight hexadecimal digits that change with every setting of the data."""
        ranges = (shift.GAMMA, shift.GAIN, shift.FOG, shift.CAST, shift.SATURATION)
        rest = (shift.NOISE, shift.BLUR, GENERATOR)
        text = repr((dataclasses.astuple(self), ranges, rest))
        return hashlib.sha256(text.encode()).hexdigest()[:8]


RECIPES = {
    "full": Recipe(),
    "tiny": Recipe(stills=6, stills_val=2, videos=2, videos_val=1, frames=5, size=(96, 160)),
}


class LocalInfo(tfds.core.DatasetInfo):
    """What is said of a data set that no server knows."""

    def initialize_from_bucket(self) -> None:
        """Nothing: TFDS would ask the network, and leave a temporary folder at every opening."""


class ProceduralDrive(tfds.core.GeneratorBasedBuilder):
    """Procedural streets with dense labels.

    Args of the constructor: `config`, made by `drive_config`, and those of TFDS.
    """

    VERSION = tfds.core.Version("1.0.0")
    # TFDS would look beside the code for checksums of downloads (and import importlib_resources,
    # which it does not ask for when it is installed); nothing is downloaded here.
    code_path = None

    def _info(self) -> tfds.core.DatasetInfo:
        recipe = self.builder_config.recipe
        height, width = recipe.size
        return LocalInfo(
            builder=self,
            description="Procedural streets with dense labels; stills are clear, videos are not.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(height, width, 3), encoding_format="jpeg"),
                    "label": tfds.features.Image(shape=(height, width, 1), encoding_format="png"),
                    "video": tfds.features.Scalar(dtype=np.int32),
                    "frame": tfds.features.Scalar(dtype=np.int32),
                }
            ),
            metadata=tfds.core.MetadataDict(
                classes=list(CLASSES),
                palette=[list(colour) for colour in PALETTE],
                frames={
                    "stills": 1,
                    "stills_val": 1,
                    "video": recipe.frames,
                    "video_val": recipe.frames,
                },
                size=list(recipe.size),
            ),
            disable_shuffling=True,  # frames of a video stay together
        )

    def _split_generators(self, download_manager):
        recipe = self.builder_config.recipe
        return {
            "stills": self._stills("stills", recipe.stills),
            "stills_val": self._stills("stills_val", recipe.stills_val),
            "video": self._videos("video", recipe.videos),
            "video_val": self._videos("video_val", recipe.videos_val),
        }

    def _generate_examples(self, split, count):
        """TFDS wants this name; the splits differ, see `_split_generators`."""
        return (
            self._stills(split, count) if split.startswith("stills") else self._videos(split, count)
        )

    def _stills(self, split: str, count: int) -> Iterator[tuple[int, dict]]:
        recipe = self.builder_config.recipe
        for start in range(0, count, _STILLS_PER_STREET):
            size = min(_STILLS_PER_STREET, count - start)
            pictures = stills((_SEEDS[split], start), size, recipe.size)
            for index, picture in enumerate(pictures, start=start):
                yield index, _example(picture, index, 0)

    def _videos(self, split: str, count: int) -> Iterator[tuple[int, dict]]:
        recipe = self.builder_config.recipe
        for index in range(count):
            pictures = video((_SEEDS[split], index), recipe.frames, recipe.size, recipe.severity)
            for frame, picture in enumerate(pictures):
                yield index * recipe.frames + frame, _example(picture, index, frame)


def _example(picture, index: int, frame: int) -> dict:
    return {
        "image": io.BytesIO(encode_jpeg(picture.frame)),
        "label": io.BytesIO(encode_png(picture.label)),
        "video": index,
        "frame": frame,
    }


@dataclasses.dataclass(kw_only=True)
class _Config(tfds.core.BuilderConfig):
    recipe: Recipe = dataclasses.field(default_factory=Recipe)


def drive_config(name: str, recipe: Recipe) -> tfds.core.BuilderConfig:
    """A builder configuration; the recipe's digest becomes part of its name."""
    return _Config(name=f"{name}-{recipe.digest()}", description=repr(recipe), recipe=recipe)

"""Published data sets as TFDS data sets: one record a frame, files as they are, no TensorFlow.

A build holds one split, so that nobody copies what they do not use; its name holds a digest of the
files' names and sizes, so that other files are another build.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from ditta_jax.data.class_tables import class_names, class_palette
from ditta_jax.data.folder import Clip, rules_of
from ditta_jax.data.image_files import read_header
from ditta_jax.data.procedural.drive_tfds import LocalInfo
from ditta_jax.data.published import PUBLISHED


@dataclasses.dataclass(kw_only=True)
class _Config(tfds.core.BuilderConfig):
    split: str = ""
    clips: tuple[Clip, ...] = ()


def build_config(split: str, clips: list[Clip]) -> tfds.core.BuilderConfig:
    """A builder configuration for the clips of one split."""
    total = hashlib.sha256()
    for clip in clips:
        for file in (*clip.frames, *clip.masks.values()):
            total.update(f"{clip.name}/{file.name} {file.stat().st_size}\n".encode())
    return _Config(name=f"{split}-{total.hexdigest()[:8]}", split=split, clips=tuple(clips))


class _Frames(tfds.core.GeneratorBasedBuilder):
    """Frames of the clips of one split; `label` is empty where a frame has none."""

    VERSION = tfds.core.Version("1.0.0")
    code_path = None  # nothing is downloaded: no checksums to look for

    def _info(self) -> tfds.core.DatasetInfo:
        data_set = PUBLISHED[self.name]
        return LocalInfo(
            builder=self,
            description=f"{self.name}: frames and masks as published.",
            homepage=data_set.home.split()[-1],
            features=tfds.features.FeaturesDict(
                {
                    "video": tfds.features.Text(),
                    "index": tfds.features.Scalar(dtype=np.int32),
                    "name": tfds.features.Text(),
                    "image": tfds.features.Image(shape=(None, None, 3)),
                    "label": tfds.features.Text(),  # bytes of an image file
                    "convention": tfds.features.Text(),
                }
            ),
            metadata=tfds.core.MetadataDict(
                classes=list(class_names(data_set.classes)),
                palette=[list(colour) for colour in class_palette(data_set.classes)],
                videos=[],
            ),
            disable_shuffling=True,  # frames of a video stay together
        )

    def _split_generators(self, download_manager):
        self.info.metadata["videos"] = _table(self.builder_config.clips)
        return {self.builder_config.split: self._generate_examples()}

    def _generate_examples(self):
        rules = PUBLISHED[self.name].rules
        number = 0
        for clip in self.builder_config.clips:
            for index, frame in enumerate(clip.frames):
                mask = clip.masks.get(frame)
                yield (
                    number,
                    {
                        "video": clip.name,
                        "index": index,
                        "name": frame.stem,
                        "image": io.BytesIO(frame.read_bytes()),
                        "label": mask.read_bytes() if mask is not None else b"",
                        "convention": rules_of(mask, rules).convention if mask is not None else "",
                    },
                )
                number += 1


def _table(clips: tuple[Clip, ...]) -> list[list]:
    """Per video: name, its first record, frames, height, width, frames with labels, warnings."""
    rows: list[list] = []
    first = 0
    for clip in clips:
        size = read_header(Path(clip.frames[0])).size
        labelled = [i for i, frame in enumerate(clip.frames) if frame in clip.masks]
        rows.append([clip.name, first, len(clip.frames), *size, labelled, list(clip.warnings)])
        first += len(clip.frames)
    return rows


class Vspw(_Frames):
    """VSPW, 480p."""


class CityscapesSequence(_Frames):
    """Snippets of Cityscapes."""


class Camvid(_Frames):
    """CamVid, 11 classes."""


BUILDERS = {"vspw": Vspw, "cityscapes_sequence": CityscapesSequence, "camvid": Camvid}

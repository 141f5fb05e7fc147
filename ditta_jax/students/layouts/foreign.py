"""Students from files of other programs, whatever layout, wrapper and prefix they come in."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ditta_jax.errors import UserError
from ditta_jax.students.layouts import (
    huggingface_folder,
    key_names,
    sizes,
    weight_files,
    weight_layout,
)
from ditta_jax.students.layouts.espnetv2_layout import ESPNETV2
from ditta_jax.students.layouts.huggingface_layout import HUGGINGFACE, HUGGINGFACE_5
from ditta_jax.students.layouts.openmmlab_layout import OPENMMLAB
from ditta_jax.students.layouts.released_layout import RELEASED
from ditta_jax.students.layouts.smp_layout import SMP
from ditta_jax.students.layouts.weight_layout import Loaded
from ditta_jax.students.protocol import StudentConfig

LAYOUTS = {
    "released": (RELEASED,),
    "huggingface": (HUGGINGFACE, HUGGINGFACE_5),
    "openmmlab": (OPENMMLAB,),
    "smp": (SMP,),
    "espnetv2": (ESPNETV2,),
}


class Foreign(NamedTuple):
    """A student that came in, and what its files say about it.

    Attributes:
        loaded: the weights, and what was left out or drawn.
        layout: name of the layout.
        classes: names in label order; any number, empty where the files have none.
        palette: RGB triples, likewise.
    """

    loaded: Loaded
    layout: str
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]


def read(
    source: Path,
    layout: str = "auto",
    seed: int = 0,
    ignore: Sequence[str] = (),
    heads: tuple[int, ...] | None = None,
    part: str = "",
) -> Foreign:
    """A student from a file, the index of a file in shards, or a Hugging Face folder.

    Args:
        source: the file or folder.
        layout: a key of `LAYOUTS`, or "auto": told by the keys.
        seed: of fresh weights for absent parts.
        ignore: regular expressions of keys to leave out.
        heads: attention heads per level where they are not 1, 2, 5, 8.
        part: which set of weights of a file with several, or whose prefix.

    Raises:
        UserError: a file cannot be read or does not fit.
    """
    _check_patterns(ignore)
    layouts = LAYOUTS.get(layout) or tuple(own for group in LAYOUTS.values() for own in group)
    folder = _folder_of(source)
    told = huggingface_folder.read_config(folder) if folder else None
    file = weight_files.read(huggingface_folder.weight_file(source) if source.is_dir() else source)
    named = key_names.recognise(file.parts, layouts, str(source), part)
    classes, palette = file.classes, file.palette
    config: StudentConfig
    if told and named.layout in LAYOUTS["huggingface"]:
        if heads:
            raise UserError(f"--heads is for other layouts; {folder}/config.json says it")
        stated, names = told
        config = sizes.with_written(stated, file.student, str(source))
        classes = classes or names
    else:
        read_sizes = named.layout.sizes or sizes.student_config
        config = read_sizes(named.layout, named.arrays, str(source), heads, file.student)
    loaded = weight_layout.load(named.layout, config, named.arrays, str(source), seed, ignore)
    beside = {**named.beside, **dict.fromkeys(file.strange, "no array")}
    loaded = loaded._replace(unused=loaded.unused | beside)
    return Foreign(loaded, named.layout.name, classes, palette)


def read_encoder(
    source: Path, classes: int, embed_dim: int, heads: tuple[int, ...] | None = None, seed: int = 0
) -> Loaded:
    """A student with a foreign encoder, such as one trained on ImageNet; all else is fresh.

    Args:
        source: a file or a Hugging Face folder; a decoder in it is not looked at.
        classes: of the fresh decoder.
        embed_dim: channels of its embedding.
        heads: attention heads per level where they are not 1, 2, 5, 8.
        seed: of the fresh weights.

    Raises:
        UserError: a file cannot be read, or holds no encoder that a student knows.
    """
    layouts = tuple(own for group in LAYOUTS.values() for own in group)
    folder = _folder_of(source)
    file = weight_files.read(huggingface_folder.weight_file(source) if source.is_dir() else source)
    named = key_names.recognise(file.parts, layouts, str(source), encoder_only=True)
    decoder = (classes, embed_dim)
    if folder and named.layout in LAYOUTS["huggingface"]:
        told, _ = huggingface_folder.read_config(folder)
        config = dataclasses.replace(told, num_classes=classes, embed_dim=embed_dim)
    else:
        config = sizes.student_config(
            named.layout, named.arrays, str(source), heads, file.student, decoder
        )
    return weight_layout.load(
        named.layout, config, named.arrays, str(source), seed, encoder_only=True
    )


def _folder_of(source: Path) -> Path | None:
    """The Hugging Face folder that a source is, or is a weight file of."""
    if not source.exists():
        hint = ""
        if re.fullmatch(r"(https?|s3|gs)://.*", str(source).replace(":/", "://", 1)):
            hint = "; download it first and name the file"
        elif re.fullmatch(r"[\w.-]+/[\w.-]+", str(source)):
            hint = "; of a model on the Hugging Face Hub name the downloaded folder"
        raise UserError(f"{source}: no such file or folder{hint}")
    if source.is_dir():
        return source
    if source.name in huggingface_folder.WEIGHT_FILES:
        return source.parent if huggingface_folder.is_segformer(source.parent) else None
    return None


def _check_patterns(patterns: Sequence[str]) -> None:
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise UserError(f"--ignore {pattern!r}: not a regular expression: {error}") from error

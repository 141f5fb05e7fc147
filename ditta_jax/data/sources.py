"""Opens the videos that `config.data` names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ditta_jax.data import cityscapes, vspw
from ditta_jax.data.folder import FolderRules, open_clip, open_folder
from ditta_jax.data.layouts import Place, find_videos
from ditta_jax.data.masks import MaskRules, check_rules
from ditta_jax.data.pairs import names_with
from ditta_jax.data.published import PUBLISHED
from ditta_jax.data.tfds_videos import built_videos, published_videos
from ditta_jax.data.video import Video, Videos
from ditta_jax.data.video_file import open_video_file
from ditta_jax.data.video_list import read_list, select
from ditta_jax.data.where import check_kind, existing_file, existing_folder
from ditta_jax.errors import UserError

DATA_SETS = ("vspw", "cityscapes")  # kinds whose `data.path` is a data set's root

Palette = Sequence[tuple[int, int, int]]


def open_videos(data: Any, num_classes: int = 0, palette: Palette = ()) -> Videos:
    """The videos of a configuration, lazily.

    Args:
        data: `config.data`.
        num_classes: labels at or above it are refused in folders; 0: not checked.
        palette: RGB per class, for masks in colour.

    Returns:
        a sequence of `Video`; `names` lists them without opening any.

    Raises:
        UserError: nothing there, an unknown kind. Reading a video raises it too.
    """
    check_kind(data.kind, data.path)
    if data.kind == "tfds":
        published = data.builder in PUBLISHED
        videos = published_videos(data, num_classes) if published else built_videos(data)
    elif data.kind == "file":
        path = existing_file(data.path)
        videos = _videos_at([Place(path.stem, path)], data, FolderRules())
    elif data.kind in DATA_SETS:
        videos = videos_of_data_set(data, num_classes, palette)
    else:
        rules = folder_rules(data, num_classes, palette)
        videos = _videos_at(find_videos(existing_folder(data.path, data.kind)), data, rules)
    wanted = list(videos.names)
    if data.list:
        wanted = select(read_list(data.list, data.path), wanted, data.list)
    if data.max_videos > 0:
        wanted = wanted[: data.max_videos]
    numbers = {name: number for number, name in enumerate(videos.names)}
    return Videos(wanted, lambda index: videos[numbers[wanted[index]]])


def videos_of_data_set(data: Any, num_classes: int, palette: Palette) -> Videos:
    """Videos of a data set that lies as it is published."""
    root = existing_folder(data.path, data.kind)
    rules = folder_rules(data, num_classes, palette)
    if data.kind == "vspw":
        root = vspw.root_of(root)
        rules = rules._replace(masks=rules.masks._replace(convention="vspw"))
        names = _names_of_vspw(root, data)
        return Videos(names, lambda i: open_clip(vspw.clip_of(root, names[i]), rules))
    rules = rules._replace(masks=rules.masks._replace(convention="cityscapes"))
    clips = cityscapes.clips_of(root, data.split)
    return Videos([clip.name for clip in clips], lambda i: open_clip(clips[i], rules))


def _names_of_vspw(root: Path, data: Any) -> list[str]:
    """The videos of a split; with `data.list`, all that are there, to choose from."""
    if data.list:
        return sorted(folder.name for folder in (root / "data").iterdir() if folder.is_dir())
    return vspw.video_names(root, data.split)


def folder_rules(data: Any, num_classes: int, palette: Palette = ()) -> FolderRules:
    """What `config.data` says on the reading of folders."""
    if data.damaged not in ("refuse", "keep"):
        raise UserError(f"data.damaged must be 'refuse' or 'keep', not {data.damaged!r}")
    masks = MaskRules(
        data.convention,
        tuple(data.ignore),
        num_classes,
        tuple((r, g, b) for r, g, b in palette),
        tuple((r, g, b) for r, g, b in data.ignore_colours),
        data.mask_reading,
    )
    names = names_with(tuple(data.frame_names), tuple(data.mask_names))
    return FolderRules(check_rules(masks), names, data.damaged, data.max_frames)


def _videos_at(places: Sequence[Place], data: Any, rules: FolderRules) -> Videos:
    """Videos in folders and files."""

    def opener(index: int) -> Video:
        place = places[index]
        if place.frames.is_dir():
            return open_folder(place, rules)
        video = open_video_file(place.frames, data.fps, data.max_frames, damaged=data.damaged)
        return video._replace(name=place.name)

    return Videos([place.name for place in places], opener)

"""What `data.path` and `data.kind` say, and whether they fit each other and what is there."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from ditta_jax.data.image_files import SUFFIXES
from ditta_jax.data.layouts import VIDEO_SUFFIXES, images, video_files
from ditta_jax.errors import UserError

KINDS = ("tfds", "folder", "file", "vspw", "cityscapes")
_OTHER_NAMES = {"video": "file", "videos": "folder", "frames": "folder", "images": "folder"}
_OTHER_NAMES |= {"dir": "folder", "directory": "folder", "image": "folder", "mp4": "file"}
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")


def check_kind(kind: str, path: str) -> None:
    """Raise UserError for an unknown kind, or one that does not look at a path that is given."""
    if kind not in KINDS:
        near = _OTHER_NAMES.get(kind.lower()) or next(
            iter(difflib.get_close_matches(kind.lower(), KINDS, 1)), ""
        )
        hint = f"; {near!r} is meant?" if near else ""
        raise UserError(f"data.kind: unknown kind {kind!r}; known: {', '.join(KINDS)}{hint}")
    if kind == "tfds" and path:
        fits = "file" if Path(path).expanduser().is_file() else "folder"
        raise UserError(
            f"data.path: {path} is given, but data.kind is 'tfds', which reads data.builder; set"
            f" data.kind={fits}"
        )


def existing_folder(path: str, kind: str, key: str = "data.path") -> Path:
    """The folder that a setting names.

    Raises:
        UserError: empty, not there, or a file.
    """
    folder = _existing(path, kind, key)
    if folder.is_dir():
        return folder
    suffix = folder.suffix.lower()
    if suffix in VIDEO_SUFFIXES and kind == "folder":
        raise UserError(f"{folder}: this is a file, not a folder: set data.kind=file")
    if suffix in SUFFIXES:
        raise UserError(f"{folder}: this is one picture; give the folder it lies in as {key}")
    if suffix in _ARCHIVES:
        raise UserError(f"{folder}: this is an archive; unpack it and give its folder as {key}")
    raise UserError(f"{folder}: this is a file; {key} needs a folder for data.kind={kind}")


def existing_file(path: str, kind: str = "file", key: str = "data.path") -> Path:
    """The video file that a setting names.

    Raises:
        UserError: empty, not there, a folder, or no video by its name.
    """
    file = _existing(path, kind, key)
    if file.is_dir():
        inside = "" if images(file) or video_files(file) else " (or give a file in it)"
        raise UserError(f"{file}: this is a folder, not a file: set data.kind=folder{inside}")
    if not file.is_file():
        raise UserError(f"{file}: this is no regular file; save the video as one")
    if file.suffix.lower() in SUFFIXES:
        raise UserError(
            f"{file}: this is one picture; give its folder as {key} and set data.kind=folder"
        )
    if file.suffix.lower() in _ARCHIVES:
        raise UserError(f"{file}: this is an archive; unpack it first")
    return file


def _existing(path: str, kind: str, key: str) -> Path:
    """The path, which is there; else says why not."""
    if not path.strip():
        raise UserError(f"{key}: is empty; kind {kind!r} needs a path")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", path):
        raise UserError(f"{key}: {path} is a URL; download it first and give the local path")
    try:
        found = Path(path).expanduser()
        there = found.exists()
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"{key}: {path!r} cannot be a path: {error}") from error
    if there:
        return found
    if re.match(r"[A-Za-z]:[\\/]", path) or (path.startswith("\\\\")):
        raise UserError(
            f"{key}: {path} is a Windows path; give it as this system sees it, e.g."
            f" /mnt/{path[0].lower()}/… in WSL"
        )
    if "\\" in path and Path(path.replace("\\", "/")).expanduser().exists():
        raise UserError(f"{key}: {path} is not there; write it with '/' in place of '\\'")
    if re.search(r"[*?\[{]", path):
        raise UserError(f"{key}: {path}: patterns are not expanded; give a folder or one file")
    what = "video file" if kind == "file" else "folder of frames"
    raise UserError(f"{found}: no such {what}; {_what_is_there(found)}check {key}")


def _what_is_there(path: Path) -> str:
    """The part of a missing path that exists, and what there has a similar name."""
    parent = next((p for p in path.absolute().parents if p.is_dir()), None)
    if parent is None or parent == Path(path.anchor or "/"):
        return ""
    missing = path.absolute().relative_to(parent).parts[0]
    try:
        names = [inside.name for inside in parent.iterdir()]
    except OSError:
        return ""
    near = difflib.get_close_matches(missing, names, 1)
    return f"{parent} has no {missing!r}, but {near[0]!r}; " if near else ""

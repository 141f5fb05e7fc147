"""Opens a TFDS data set that this package builds, building it on first use."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ditta_jax.data.published import PUBLISHED, check_files
from ditta_jax.data.where import existing_folder
from ditta_jax.errors import UserError


def default_data_dir() -> Path:
    """Where data sets are kept unless the configuration says otherwise."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "ditta_jax" / "tfds"


def open_builder(name: str, data_dir: str | Path = "", recipe: Any = None) -> Any:
    """A prepared TFDS builder.

    Args:
        name: "procedural_drive", or "procedural_drive/tiny" for a named recipe.
        data_dir: folder of all data sets; empty: `default_data_dir()`.
        recipe: a `Recipe` to use in place of the named one.

    Returns:
        tfds.core.DatasetBuilder, ready for `as_data_source`.

    Raises:
        UserError: unknown name, or a folder that cannot be written.
    """
    dataset, _, recipe_name = name.partition("/")
    if dataset != "procedural_drive":
        known = ", ".join(("procedural_drive", *PUBLISHED))
        raise UserError(f"data.builder: unknown data set {name!r}; known: {known}")
    from ditta_jax.data.procedural import drive_tfds

    recipe_name = recipe_name or "full"
    if recipe is None:
        if recipe_name not in drive_tfds.RECIPES:
            known = ", ".join(drive_tfds.RECIPES)
            raise UserError(
                f"data.builder: unknown recipe {recipe_name!r} of {dataset}; known: {known}"
            )
        recipe = drive_tfds.RECIPES[recipe_name]
    config = drive_tfds.drive_config(recipe_name, recipe)
    return _prepared(drive_tfds.ProceduralDrive, config, data_dir)


def open_published(
    name: str, split: str, data_dir: str | Path = "", manual_dir: str | Path = ""
) -> Any:
    """A prepared TFDS builder of one split of a data set that people download.

    Args:
        name: a key of `PUBLISHED`.
        split: of the data set.
        data_dir: folder of all data sets; empty: `default_data_dir()`.
        manual_dir: where the downloaded files lie; empty: what was built before is opened.

    Raises:
        UserError: no such split, files that are missing or damaged, or nothing built yet.
    """
    from ditta_jax.data import published_tfds

    data_set = PUBLISHED[name]
    if split not in data_set.splits:
        known = ", ".join(data_set.splits)
        raise UserError(f"data.split: {name} has no split {split!r}; known: {known}")
    builder_class = published_tfds.BUILDERS[name]
    if not manual_dir:
        return _prepared(builder_class, _built_before(name, split, data_dir), data_dir)
    clips = data_set.clips(existing_folder(str(manual_dir), "tfds", "data.manual_dir"), split)
    config = published_tfds.build_config(split, clips)

    def check() -> None:
        for note in check_files(clips, data_set.rules):
            print(note, file=sys.stderr)

    return _prepared(builder_class, config, data_dir, check)


def _built_before(name: str, split: str, data_dir: str | Path) -> Any:
    """The configuration of the latest build of a split."""
    from ditta_jax.data import published_tfds

    folder = _data_folder(data_dir) / name
    built = sorted(folder.glob(f"{split}-*/*/dataset_info.json"), key=lambda f: f.stat().st_mtime)
    if not built:
        raise UserError(
            f"data.manual_dir: is empty, and {name}'s split {split!r} was not built in"
            f" {folder.parent}; give the folder of {PUBLISHED[name].home}"
        )
    config = published_tfds.build_config(split, [])
    return dataclasses.replace(config, name=built[-1].parent.parent.name)


def _data_folder(data_dir: str | Path) -> Path:
    return Path(data_dir).expanduser() if data_dir else default_data_dir()


def _prepared(
    builder_class: Any, config: Any, data_dir: str | Path, check: Callable[[], None] | None = None
) -> Any:
    """A builder whose data is there; `check` runs before it is built."""
    folder = _data_folder(data_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _prepare(builder_class, config, folder, check)
    except OSError as error:
        raise UserError(f"data.data_dir: cannot keep data in {folder}: {error}") from error


def _prepare(
    builder_class: Any, config: Any, folder: Path, check: Callable[[], None] | None = None
) -> Any:
    import cv2
    import tensorflow_datasets as tfds

    builder, ready = _builder(builder_class, config, folder)
    if ready:
        return builder
    place = Path(builder.data_dir)
    with _locked(folder / f"{builder.name}-{config.name}.lock", place):
        builder, ready = _builder(builder_class, config, folder)
        if ready:  # another process built it meanwhile
            return builder
        if check is not None:
            check()
        for part in place.parent.glob("*incomplete*"):  # of a build that was killed
            shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(place, ignore_errors=True)
        print(f"building the data set {builder.name} in {place} (once) ...", file=sys.stderr)
        start = time.monotonic()
        if not sys.stderr.isatty():
            tfds.disable_progress_bar()
        threads = cv2.getNumThreads()
        cv2.setNumThreads(1)  # the images are small: waiting for each other takes longer
        try:
            with open(os.devnull, "w") as quiet, contextlib.redirect_stdout(quiet):
                builder.download_and_prepare(file_format="array_record")  # announces a download
        finally:
            cv2.setNumThreads(threads)
        size, seconds = builder.info.dataset_size / 2**20, time.monotonic() - start
        print(f"built {builder.name}: {size:.0f} MiB in {seconds:.0f} s", file=sys.stderr)
    return builder


def _builder(builder_class: Any, config: Any, folder: Path) -> tuple[Any, bool]:
    """A builder and whether its data is there, without TFDS's remarks that it is all new to it."""
    from absl import logging

    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        builder = builder_class(config=config, data_dir=folder, file_format="array_record")
        return builder, bool(builder.is_prepared())
    finally:
        logging.set_verbosity(before)


@contextlib.contextmanager
def _locked(path: Path, place: Path) -> Iterator[None]:
    """Hold a file lock, which ends with the process however it ends."""
    with open(path, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for another process that builds {place} ...", file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield

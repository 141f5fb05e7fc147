"""`--dry-run`: what a run would do, in words; nothing is computed, compiled or written."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from ditta_jax.algorithm.padding import FRAME_BUCKETS, bucket
from ditta_jax.data.preprocess import input_size
from ditta_jax.methods.protocol import TRACKS
from ditta_jax.runs.preflight import Preview
from ditta_jax.teacher.cache import folder_name


class Program(NamedTuple):
    """What one compiled adaptation or segmentation is for.

    Attributes:
        size: (H, W) of the frames.
        inner: (Hi, Wi) of the network's input.
        length: frames that a warm-up is padded to.
    """

    size: tuple[int, int]
    inner: tuple[int, int]
    length: int


def compiled_programs() -> Path:
    """Where JAX keeps compiled programs."""
    return Path(jax.config.jax_compilation_cache_dir or "")  # type: ignore[attr-defined]


def program_of(size: tuple[int, int], warm_up: int, config: Any) -> Program:
    """The program that a video of (H, W) = `size` with so many warm-up frames needs."""
    inner = input_size(size, tuple(config.input.scale), config.input.divisor)
    return Program(size, inner, max(bucket(warm_up, FRAME_BUCKETS), config.tta.least_frames))


def programs_of(previews: Sequence[Preview], config: Any) -> dict[Program, int]:
    """The programs that the videos need, and how many videos share each."""
    counts: dict[Program, int] = {}
    for own in previews:
        if own.faults:
            continue
        program = program_of(own.size, own.warm_up, config)
        counts[program] = counts.get(program, 0) + 1
    return counts


def lines(
    previews: Sequence[Preview],
    config: Any,
    memory: Callable[[Program], str],
    places: Mapping[str, Path],
    needs: Collection[str] = (),
) -> Iterator[str]:
    """The plan, line by line.

    Args:
        previews: of all videos.
        config: the settings, nothing left unset.
        memory: what the videos of a program need of it, in words.
        places: folders of "the teacher's answers" and of "compiled programs".
        needs: what the methods need of the teacher.
    """
    yield from _videos(previews)
    programs = programs_of(previews, config)
    if programs:
        sizes = _counted(len(programs), "size")
        yield f"programs to compile ({sizes}, rows x columns; each adapts and segments):"
    for program, count in programs.items():
        (H, W), (Hi, Wi), length = program
        yield (
            f"  {H}x{W}, input {Hi}x{Wi}, warm-up padded to {length}: {_counted(count, 'video')}, "
            f"{memory(program)}"
        )
    yield f"teacher: {config.teacher.config} on {config.teacher.device}"
    yield (
        f"  teacher.mask_threshold={config.teacher.mask_threshold:g}, tta.lr={config.tta.lr:g}"
        " (as set, or its own)"
    )
    if TRACKS in needs:
        frames = sum(own.frames for own in previews if not own.faults)
        yield f"  it tracks through whole videos ({frames} frames in all), not the warm-up only"
    for what, place in places.items():
        yield f"{what}: {_inside(place)} in {place}"
    names = [own.name for own in previews if not own.faults]
    answered = _answered(places.get("teacher's answers"), names)
    yield f"  {answered} of {len(names)} videos have some, used if the prompts are the same"
    for own in previews:
        for warning in own.warnings:
            yield f"warning: {warning}"
    for own in previews:
        if own.faults:
            yield f"cannot be done: {own.name}: {own.message}"
    bad = sum(bool(own.faults) for own in previews)
    would = _counted(len(previews) - bad, "video")
    yield f"{would} would be done, {bad} cannot; nothing was started"


def _videos(previews: Sequence[Preview]) -> Iterator[str]:
    width = max((len(own.name) for own in previews), default=0)
    for own in previews:
        if own.faults:
            continue
        truth = f"{own.labelled} labelled" if own.labelled else "no labels"
        size = f"{own.size[0]}x{own.size[1]} (rows x columns)"
        yield (
            f"{own.name:{width}}  {size}  {own.frames} frames:"
            f" {own.warm_up} warm-up, {own.scored} segmented, {truth}"
        )


def _inside(folder: Path) -> str:
    if not folder.is_dir():
        return "nothing yet"
    return _counted(sum(not entry.name.startswith(".") for entry in os.scandir(folder)), "entry")


def _answered(cache: Path | None, names: Sequence[str]) -> int:
    """How many videos have masklets in the teacher's cache, for whichever prompts."""
    if cache is None or not cache.is_dir():
        return 0
    have = {
        entry.parent.name.rpartition("-")[0]
        for entry in cache.glob("*/masklets-*.json")
        if not entry.name.startswith(".")
    }
    return sum(folder_name(name) in have for name in names)


def _counted(count: int, what: str) -> str:
    plural = {"entry": "entries"}.get(what, f"{what}s")
    return f"{count} {what if count == 1 else plural}"

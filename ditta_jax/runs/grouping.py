"""Which videos are adapted to side by side: those of one compiled program, wherever in the list."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from ditta_jax.runs.failures import Failures
from ditta_jax.runs.plan import Program, program_of
from ditta_jax.runs.taken_over import TakenOver
from ditta_jax.runs.work import Work

NOTHING: Mapping[str, TakenOver | None] = MappingProxyType({})


def side_by_side(
    work: Work,
    names: Sequence[str],
    failures: Failures,
    fits: Callable[[Program], int] | None = None,
    taken: Mapping[str, TakenOver | None] = NOTHING,
) -> list[list[str]]:
    """Up to `parallel.videos` videos at a time; a group is of one size, padded warm-up, methods.

    Side by side every video costs what the longest warm-up does, padded frames included. Groups
    come in the order of their first videos, and videos in a group in the order of the list.

    Args:
        work: what all videos share.
        names: of the videos to do, all of which can be opened.
        failures: told of videos of which not even one fits into memory.
        fits: how many videos of a program are worked on at once (`room.Estimate`);
            None: one.
        taken: of these, the methods that need not be computed; None: none.
    """
    if fits is None:
        return [[name] for name in names]  # none has to be opened before its turn
    open_groups: dict[tuple[Program, frozenset[str]], list[str]] = {}
    groups: list[list[str]] = []
    for name in names:
        video = work.videos.named(name)
        program = program_of(video.size, work.warm_up_length(video), work.config)
        earlier = taken.get(name)
        alike = program, earlier.methods if earlier is not None else frozenset()
        with failures.of(name):
            most = fits(program)
            group = open_groups.setdefault(alike, [])
            if not group:
                groups.append(group)
            group.append(name)
            if len(group) == most:
                del open_groups[alike]
    return groups

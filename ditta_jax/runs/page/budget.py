"""Which pictures go into a page, so that the page stays small enough to be opened and sent."""

from collections.abc import Mapping, Sequence
from typing import Any

MOST_BYTES = 24 * 2**20
_FEWEST = 6  # pictures of a video; with fewer, its player shows nothing that moves


def bytes_of(value: Any) -> int:
    """How much room the text in nested values takes."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(map(bytes_of, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(bytes_of, value))
    return 8


def thinned(film: Mapping[str, Any], room: float) -> dict[str, Any] | None:
    """The film with as many evenly spread pictures as there is room for; None with too few.

    Args:
        film: as `film.read` returns it.
        room: bytes.
    """
    pictures = film["pictures"]
    left = room - bytes_of({key: value for key, value in film.items() if key != "pictures"})
    whole = bytes_of(pictures)
    if whole <= left:
        return dict(film)
    fit = int(len(pictures) * left / whole)
    if fit < min(_FEWEST, len(pictures)):
        return None
    return dict(film) | {"pictures": evenly(pictures, fit)}


def evenly(items: Sequence[Any], count: int) -> list[Any]:
    """`count` of the items, evenly spread, the first and the last among them."""
    if count >= len(items):
        return list(items)
    if count <= 1:
        return list(items[:count])
    return [items[round(i * (len(items) - 1) / (count - 1))] for i in range(count)]


def most_telling(gains: Mapping[str, float | None]) -> list[str]:
    """Videos in the order in which they get room: worst, best, second worst, second best, …."""
    order = sorted(gains, key=lambda video: (gains[video] is None, gains[video] or 0.0))
    ends = []
    while order:
        ends.append(order.pop(0))
        if order:
            ends.append(order.pop())
    return ends

"""Which layout a set of arrays follows, under whatever prefixes its trainer put before the keys.

An encoder and a decoder are recognised by how one key of each ends; what stands before it is the
prefix. Keys under neither prefix are not the model's: losses, auxiliary heads, averages.
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ditta_jax.errors import UserError
from ditta_jax.students.layouts.weight_files import Parts
from ditta_jax.students.layouts.weight_layout import Layout

# Put into keys by torch's own wrappers (parallel training, compilation, recomputation).
_WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
# Names of a second set of weights, which is only taken where there is no other or on request.
_SECOND = re.compile(r"(^|[._])(\w*ema\w*|\w*teacher\w*|\w*averag\w*|swa\w*|momentum\w*)([._]|$)")


class Named(NamedTuple):
    """Arrays by the keys of a layout.

    Attributes:
        layout: that they follow.
        arrays: by its keys.
        beside: keys that are not the model's, with the reason.
    """

    layout: Layout
    arrays: dict[str, np.ndarray]
    beside: dict[str, str]


class _Place(NamedTuple):
    """Where a model is: its part of the file, layout, and prefixes (no decoder: None)."""

    part: str
    layout: Layout
    encoder: str
    decoder: str | None


def recognise(
    parts: Parts,
    layouts: Sequence[Layout],
    source: str,
    part: str = "",
    *,
    encoder_only: bool = False,
) -> Named:
    """The model among the parts of a file, by the keys of its layout.

    Args:
        parts: sets of arrays.
        layouts: that are known.
        source: names the file in messages.
        part: name of the set, or prefix of the keys, that is wanted; empty: the first that is no
            second one (an average, a teacher).
        encoder_only: whether the encoder is all that is wanted; what else is there is left.

    Raises:
        UserError: no model of a known layout, one without a segmentation head, keys that name the
            same array, or no such part.
    """
    plain = {name: _without_wrappers(arrays, source) for name, arrays in parts.items()}
    places = [place for name, arrays in plain.items() for place in _places(name, arrays, layouts)]
    if not places:
        raise UserError(_unknown(plain, layouts, source))
    places = [place for place in places if place.decoder is not None] or places
    wanted = [place for place in places if not part or part in _names_of(place)]
    if not wanted:
        known = ", ".join(sorted({repr(name) for p in places for name in _names_of(p) if name}))
        raise UserError(f"{source}: --part {part}: there is none; known: {known or 'only one'}")
    best = min(wanted, key=_is_second)
    if best.decoder is None and not encoder_only:
        raise UserError(
            f"{source}: no segmentation head: an encoder ({best.layout.name} layout) and nothing "
            "that a student knows as its decoder; train one with python -m ditta_jax.pretrain "
            "--config FILE --config.train.initial_checkpoint=THIS FILE"
        )
    named = _renamed(plain[best.part], best)
    if encoder_only:
        own = {k: v for k, v in named.arrays.items() if k.startswith(best.layout.encoder[0])}
        named = named._replace(arrays=own)
    others = {
        f"{name}.{key}": "of another part"
        for name in plain
        if name != best.part
        for key in plain[name]
    }
    return named._replace(beside=named.beside | others)


def _names_of(place: _Place) -> tuple[str, ...]:
    prefix = os.path.commonprefix([place.encoder, place.decoder or place.encoder]).rstrip(".")
    return (place.part, prefix)


def _is_second(place: _Place) -> bool:
    return any(_SECOND.search(name) for name in _names_of(place))


def _without_wrappers(arrays: Mapping[str, np.ndarray], source: str) -> dict[str, np.ndarray]:
    short: dict[str, np.ndarray] = {}
    for key, array in arrays.items():
        name = ".".join(word for word in key.split(".") if word not in _WRAPPERS)
        if name in short:
            raise UserError(f"{source}: keys with and without 'module.' name the same array: {key}")
        short[name] = array
    return short


def _places(part: str, arrays: Mapping[str, np.ndarray], layouts: Sequence[Layout]) -> list[_Place]:
    """Every encoder among the keys, with the decoder whose prefix is the most like its own."""
    found = []
    for layout in layouts:
        decoders = _prefixes(arrays, layout.decoder[1])
        for encoder in _prefixes(arrays, layout.encoder[1]):
            nearest = max(
                decoders,
                key=lambda prefix: len(os.path.commonprefix([prefix, encoder])),
                default=None,
            )
            found.append(_Place(part, layout, encoder, nearest))
    return found


def _prefixes(arrays: Mapping[str, np.ndarray], ending: str) -> list[str]:
    """What stands before an ending in the keys that have it, whole words only."""
    before = [key.removesuffix(ending) for key in arrays if key.endswith(ending)]
    return [prefix for prefix in before if not prefix or prefix.endswith(".")]


def _renamed(arrays: Mapping[str, np.ndarray], place: _Place) -> Named:
    """Keys under the two prefixes by the layout's own; the longer prefix is looked at first."""
    layout = place.layout
    pairs = [(place.encoder, layout.encoder[0]), (place.decoder or "", layout.decoder[0])]
    if layout.beside:
        around = (place.decoder or "").removesuffix(layout.decoder[0])
        pairs.append((around + layout.beside, layout.beside))
    pairs.sort(key=lambda pair: -len(pair[0]))
    inside, beside = {}, {}
    for key, array in arrays.items():
        for prefix, own in pairs:
            if key.startswith(prefix):
                inside[own + key.removeprefix(prefix)] = array
                break
        else:
            beside[key] = "beside the model"
    return Named(layout, layout.prepare(inside), beside)


def _unknown(plain: Parts, layouts: Sequence[Layout], source: str) -> str:
    keys = max(plain.values(), key=len)
    known = ", ".join(layout.name for layout in layouts)
    some = ", ".join(sorted(keys)[:3]) or "none"
    return (
        f"{source} is not in the released layout or another known one ({known}): no key ends in "
        f"{layouts[0].encoder[1]} (it has {len(keys)} keys such as {some})"
    )

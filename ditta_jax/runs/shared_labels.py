"""Stage A of several runs in one process: what one run computed, the next ones take."""

from typing import Any

import jax

from ditta_jax.methods.protocol import WarmUp
from ditta_jax.runs import record_key


class SharedLabels:
    """Warm-ups by all that they follow from; what does not fit is not kept, and computed again.

    Args:
        keep_bytes: of arrays kept in memory.
    """

    def __init__(self, keep_bytes: float) -> None:
        self._room = keep_bytes
        self._kept: dict[str, WarmUp] = {}
        self.taken = 0

    def take(self, parts: dict[str, Any]) -> WarmUp | None:
        """The warm-up that follows from these parts; None where it is not kept."""
        found = self._kept.get(record_key.digest(parts))
        self.taken += found is not None
        return found

    def keep(self, parts: dict[str, Any], warm_up: WarmUp) -> WarmUp:
        """Keep a warm-up if it fits; returns it, in the memory of the host where it is kept."""
        size = sum(leaf.nbytes for leaf in jax.tree.leaves(warm_up) if hasattr(leaf, "nbytes"))
        if size > self._room:
            return warm_up
        self._room -= size
        self._kept[record_key.digest(parts)] = kept = jax.device_get(warm_up)
        return kept

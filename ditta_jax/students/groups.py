"""Which parameters adapt: groups by name, each a predicate on the path of a parameter.

Paths begin with "encoder", "decoder" or "fusion" in every family; the classifier is
`decoder/classifier`, and a normalisation is what is called so: `…/norm1/scale`.
"""

from collections.abc import Callable

import jax
from jaxtyping import PyTree

Path = tuple[str | int, ...]

GROUPS: dict[str, Callable[[Path], bool]] = {
    "decoder": lambda path: path[0] != "encoder",  # fusion included: the paper's setting
    "classifier": lambda path: path[:2] == ("decoder", "classifier"),
    "addon": lambda path: path[0] == "fusion",
    "norms": lambda path: _in_norm(path),
    "all": lambda path: True,
}


def _in_norm(path: Path) -> bool:
    return any(str(part).startswith("norm") for part in path[:-1])


def path_of(keys: tuple) -> Path:
    """A path as `jax.tree_util` gives it, as words and numbers."""
    return tuple(key.idx if hasattr(key, "idx") else key.key for key in keys)


def members(params: PyTree, group: str) -> PyTree:
    """A tree like `params` that says of each parameter whether it is in the group."""
    return jax.tree_util.tree_map_with_path(lambda keys, _: GROUPS[group](path_of(keys)), params)

"""The configurations of the `sam2` package, under the names that people give them."""

from __future__ import annotations

import difflib
import re
from pathlib import PurePosixPath

from ditta_jax.errors import UserError

_LETTERS = {"tiny": "t", "small": "s", "base_plus": "b+", "base+": "b+", "large": "l"}
_LETTERS |= {letter: letter for letter in ("t", "s", "b+", "l")}
# By generation, the pattern of the files in the package.
_FILES = {
    "2.1": "configs/sam2.1/sam2.1_hiera_{}.yaml",
    "2": "configs/sam2/sam2_hiera_{}.yaml",
}
KNOWN = {
    f"sam{generation}_hiera_{letter}": pattern.format(letter)
    for generation, pattern in _FILES.items()
    for letter in ("t", "s", "b+", "l")
}
# facebook/sam2.1-hiera-base-plus, sam2.1_hiera_tiny.pt, sam2.1_t, sam2_hiera_l.yaml, large, ...
_NAME = re.compile(
    r"(?:facebook/)?(?:sam(?P<generation>2\.1|2\.0|2)_?)?(?:hiera_?)?(?P<model>[a-z+_]+)"
    r"(?:\.yaml|\.pt)?"
)


def full_name(config: str) -> str:
    """Return the package's name of a configuration, `configs/….yaml`.

    A short name without a generation means SAM 2.1, as in the authors' newest release. A path that
    is not one of the package's own is returned as it is: a fork may hold it.

    Raises:
        UserError: neither a path nor a known name, with the known ones.
    """
    match = _NAME.fullmatch(config.lower().replace("-", "_"))
    letter = _LETTERS.get(match["model"].strip("_")) if match else None
    if match and letter:
        generation = {"2.0": "2", None: "2.1"}.get(match["generation"], match["generation"])
        return _FILES[generation].format(letter)
    path = PurePosixPath(config)
    if path.suffix == ".yaml" and path.parts[0] == "configs":
        return config
    close = difflib.get_close_matches(config, [*KNOWN, *_LETTERS], n=1, cutoff=0.4)
    meant = f"; did you mean {close[0]}?" if close else ""
    raise UserError(
        f"teacher.config: {config!r} is not known; expected 'embedded', {', '.join(KNOWN)} (or"
        f" tiny, small, base_plus, large), a .yaml file, 'masks:FOLDER' or 'flow'{meant}"
    )

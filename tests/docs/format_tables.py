"""The tables of docs/formats.md, from the schemas.

`python -m tests.docs.format_tables` writes them. A table stands between `<!-- NAME -->` and
`<!-- end -->`, where NAME is a schema's.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tests.docs.schemas import DOCS

PAGE = DOCS / "formats.md"
TABLE = re.compile(r"(<!-- (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def rows(schema: Mapping[str, Any], key: str = "") -> Iterator[tuple[str, str, str]]:
    """Of every value that a schema describes below a key: its key, its type, what it is."""
    for name, own in {
        **schema.get("properties", {}),
        **schema.get("patternProperties", {}),
    }.items():
        name = re.sub(r"\^(\w+)\[0-9\]\+\$", r"\1<n>", name)
        yield from of_value(own, f"{key}{name}")
    if isinstance(own := schema.get("additionalProperties"), dict):
        yield from of_value(own, f"{key}<name>")


def of_value(own: Mapping[str, Any], key: str) -> Iterator[tuple[str, str, str]]:
    """The row of one value, and those of what it holds, down to values that are said in words."""
    if "description" in own:
        yield key, kind(own), own["description"]
    if "items" in own:
        yield from of_value(own["items"], f"{key}[]")
    yield from rows(own, f"{key}.")


def kind(own: Mapping[str, Any]) -> str:
    """The type of a value, in a word or two."""
    if "const" in own:
        return f"`{json.dumps(own['const'])}`"
    if "enum" in own:
        return ", ".join(f"`{json.dumps(value)}`" for value in own["enum"])
    kinds = own["type"] if isinstance(own["type"], list) else [own["type"]]
    word = " or ".join(kinds)
    return f"{word} of {kind(own['items'])}" if "type" in own.get("items", {}) else word


def table(name: str) -> str:
    """The table of a schema."""
    schema = json.loads((DOCS / "schemas" / f"{name}.schema.json").read_text())
    lines = [f"| `{key}` | {kind} | {words} |" for key, kind, words in rows(schema)]
    return "\n".join(["| key | type | |", "|---|---|---|", *lines]) + "\n"


def page() -> str:
    """The page with its tables as the schemas are now."""
    return TABLE.sub(lambda found: found[1] + table(found[2]) + found[3], PAGE.read_text())


if __name__ == "__main__":
    PAGE.write_text(page())

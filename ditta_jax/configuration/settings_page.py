"""docs/configuration.md, written from the schema: python -m ditta_jax.configuration.settings_page.

Prints the page; a test compares it with the file.
"""

import itertools

from ditta_jax.configuration.schema import flat

HEAD = """# Settings

Written from the schema: `python -m ditta_jax.configuration.settings_page > docs/configuration.md`.

A configuration is a Python file with `get_config()`, which starts from
`ditta_jax.configuration.default_config()` and changes values. On the command line
`--config.KEY=VALUE` changes one more. A key that is not listed here, a value of another type or out
of its range is refused in one line before any work is done. The paper's value is given where it is
known and notable.
"""


def page() -> str:
    """The page's text: one table for the top level, and one a section."""
    blocks = [HEAD]
    for section, settings in itertools.groupby(flat(), lambda own: own[0].rpartition(".")[0]):
        title = f"`{section}`" if section else "Top level"
        blocks.append(f"## {title}\n\n| setting | default | allowed | meaning | paper |\n" + _RULE)
        for key, own in settings:
            cells = [f"`{key}`", f"`{own.default!r}`", own.range.words, own.meaning, own.paper]
            blocks[-1] += "| " + " | ".join(map(_cell, cells)) + " |\n"
    return "\n".join(blocks)


_RULE = "|---|---|---|---|---|\n"


def _cell(text: str) -> str:
    """Text that cannot end its cell; Markdown signs in it stay as they are written."""
    escaped = text.replace("|", "\\|")
    return escaped if escaped.startswith("`") else escaped.replace("*", "\\*").replace("<", "&lt;")


if __name__ == "__main__":
    print(page(), end="")

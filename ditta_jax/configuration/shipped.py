"""Configurations that come with the package: `--config demo` works without the repository."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent
# In a wheel they lie in the package, in the repository beside it.
_FOLDERS = (_PACKAGE / "configs", _PACKAGE.parent / "configs")


def shipped(word: str) -> Path | None:
    """The file that a bare name such as `demo` means; None for any other word."""
    if not word.isidentifier():
        return None
    files = (folder / f"{word}.py" for folder in _FOLDERS)
    return next((file for file in files if file.is_file()), None)

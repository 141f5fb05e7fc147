"""Names of videos, frames and runs: text from outside, which is never taken for a path."""

from __future__ import annotations

import hashlib
import re
import urllib.parse

MOST_BYTES = 255  # of one component of a path, on every common file system
# Of an encoded name: leaves room for suffixes and for the temporary names of atomic writing.
_MOST_ENCODED = 150
_KEPT, _HASH_DIGITS = 100, 16
# No encoded name has this character unless it was shortened: so none can pretend to be another.
_SHORTENED = "!"
# Windows opens devices under these names, whatever suffix follows.
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


def fault_of(name: object) -> str:
    """Say why something cannot be the name of one file or folder; empty if it can.

    Refused are all that some system reads as more than a name: separators of either kind, drives,
    `.` and `..`, control characters, devices, too many bytes, text that is no Unicode.
    """
    if not isinstance(name, str):
        return f"it is {type(name).__name__}, not text"
    if not name.strip():
        return "it is empty"
    if name in (".", "..") or "/" in name or "\\" in name:
        return "it is a path, not a name"
    if re.match(r"[A-Za-z]:", name):
        return "it begins with a drive"
    if any(ord(character) < 32 or ord(character) == 127 for character in name):
        return "it holds a control character"
    if _RESERVED.fullmatch(name):
        return "some systems reserve it for a device"
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        return "it is no valid Unicode"
    return f"it has {length} bytes, at most {MOST_BYTES} fit" if length > MOST_BYTES else ""


def file_name(name: str) -> str:
    """Return a name as one component of a path: readable, and different ones stay different.

    What is not plain is percent-encoded; what is then too long is cut and ends in a hash of the
    whole name. The same name gives the same component, everywhere.
    """
    quoted = urllib.parse.quote(name, safe=" +,=@()[]{}", errors="surrogatepass") or "%"
    if quoted[0] in ".-" or _RESERVED.fullmatch(quoted):
        quoted = f"%{ord(quoted[0]):02X}{quoted[1:]}"
    if quoted[-1] in ". ":  # Windows drops these
        quoted = f"{quoted[:-1]}%{ord(quoted[-1]):02X}"
    if len(quoted) <= _MOST_ENCODED:
        return quoted
    kept = re.sub(r"%.?$", "", quoted[:_KEPT])  # no half of a code
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()
    return f"{kept}{_SHORTENED}{digest[:_HASH_DIGITS]}"


def kept_name(name: str, suffix: str = "") -> str:
    """Return name and suffix as they stand where they are fit for a file, else encoded.

    For files that people look for by the name of a frame: letters of all alphabets stay.
    """
    fit = not fault_of(name + suffix) and not name.startswith((".", "-")) and name[-1:] not in ". "
    return (name if fit and not {"%", _SHORTENED} & set(name) else file_name(name)) + suffix

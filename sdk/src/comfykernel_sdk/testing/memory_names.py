"""Which names the stores in memory take: the rules that every storage keeps."""

from __future__ import annotations

import re
import unicodedata

from ..errors import InvalidPath

NAME_BYTES = 255
"""UTF-8 bytes of one name."""
ABSOLUTE = re.compile(r"[/\\]|[A-Za-z]:([/\\]|$)")
UNSHOWABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


def checked_name(name: str) -> str:
    """The name itself when it can be the name of one file, else ``InvalidPath``."""
    plain = unicodedata.normalize("NFKC", name)
    bad = not name.strip(" .") or re.search(r"[/\\]", name) or ".." in re.split(r"[/\\]", plain)
    if bad or UNSHOWABLE.search(name) or len(name.encode()) > NAME_BYTES:
        raise InvalidPath(f"Not a file name: {name[:NAME_BYTES]!a}")
    return name


def path_parts(path: str) -> list[str]:
    """The parts of a relative path, ``InvalidPath`` when it is absolute or leaves its start."""
    if ABSOLUTE.match(path):
        raise InvalidPath(f"The path is absolute: {path!a}")
    parts: list[str] = []
    for part in re.split(r"[/\\]", path):
        if part == "..":
            if not parts:
                raise InvalidPath(f"The path leaves its folder: {path!a}")
            parts.pop()
        elif part not in ("", "."):
            parts.append(checked_name(part))
    return parts

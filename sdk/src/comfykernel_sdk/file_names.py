"""Names of files and relative paths that come from outside: which ones every storage takes, and their parts."""

from __future__ import annotations

import os
import re
import unicodedata
from typing import Final

from .errors import InvalidPath

NAME_BYTES: Final = 255
"""Bytes of UTF-8 that the usual filesystems allow."""
PATH_BYTES: Final = 1000
"""Bytes of a path; leaves room for the folder in POSIX's 4096."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_UNSHOWABLE: Final = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_DRIVE: Final = re.compile(r"^[A-Za-z]:([/\\]|$)")
_SEPARATORS: Final = re.compile(r"[/\\]")
# Names that Windows gives to devices, whatever their ending, and characters that it keeps for itself.
_WINDOWS_DEVICE: Final = re.compile(r"^(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\.|$)", re.IGNORECASE)
_WINDOWS_RESERVED: Final = re.compile(r'[<>:"|?*]')


def split_path(path: str, *, windows: bool = os.name == "nt") -> list[str]:
    """The parts of a relative path with ``/`` or ``\\``; inner ``..`` are resolved, empty parts and ``.`` dropped.

    Raises:
        InvalidPath: absolute, leaves its start by ``..``, or has a part that can't be a file name.
    """
    if path.startswith(("/", "\\")) or _DRIVE.match(path):
        raise InvalidPath(f"The path is absolute: {_shown(path)}.", hint="Give it relative to its folder.")
    parts: list[str] = []
    for part in _SEPARATORS.split(path):
        if part == "..":
            if not parts:
                raise InvalidPath(f"The path leaves its folder: {_shown(path)}.")
            parts.pop()
        elif part not in ("", "."):
            parts.append(check_name(part, windows=windows))
    if sum(len(part.encode()) + 1 for part in parts) > PATH_BYTES:
        raise InvalidPath(f"The path is too long: {_shown(path)}.")
    return parts


def check_name(name: str, *, windows: bool = os.name == "nt") -> str:
    """The name itself, if it can be the name of one file.

    Refused, too: look-alikes that some systems or programs turn into ``..`` (two-dot leader, full-width dots).

    Raises:
        InvalidPath: it can't.
    """
    plain = _SEPARATORS.split(unicodedata.normalize("NFKC", name))
    if _SEPARATORS.search(name) or any(part == ".." for part in plain) or not name.strip(" ."):
        raise InvalidPath(f"Not a file name: {_shown(name)}.")
    if _CONTROL.search(name):
        raise InvalidPath(f"A file name can't hold control characters: {_shown(name)}.")
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        raise InvalidPath(f"The file name is no Unicode text: {_shown(name)}.") from None
    if length > NAME_BYTES:
        raise InvalidPath(f"The file name is too long: {_shown(name)}.", details=f"{length} of {NAME_BYTES} bytes.")
    if windows and (_WINDOWS_DEVICE.match(name) or _WINDOWS_RESERVED.search(name) or name[-1] in " ."):
        raise InvalidPath(f"The file name means something else to Windows: {_shown(name)}.")
    return name


def is_text(name: str) -> bool:
    """Whether a name that was found on the disk can be shown to clients: Unicode without control characters."""
    return name.isprintable() or not _UNSHOWABLE.search(name)


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 120 else text[:120] + "...")

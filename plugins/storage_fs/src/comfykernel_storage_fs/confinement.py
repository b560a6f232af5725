"""Names from outside become paths inside one folder, or an error."""

from __future__ import annotations

import errno
import os
import re
import unicodedata
from pathlib import Path
from typing import Final

from comfykernel_sdk.errors import Forbidden, InvalidPath

# Bytes of UTF-8: what the usual filesystems allow, and what leaves room for the folder in POSIX's 4096.
NAME_BYTES: Final = 255
PATH_BYTES: Final = 1000

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


def inside(root: Path, parts: list[str]) -> Path:
    """The path below ``root``, links resolved; it need not exist.

    Raises:
        Forbidden: a link leads outside.
        InvalidPath: links lead in a ring.
    """
    real_root = os.path.realpath(root)
    path = os.path.realpath(os.path.join(real_root, *parts))
    try:
        os.stat(path)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise InvalidPath("The path can't be followed.", details=str(error)) from error
    if path != real_root and not path.startswith(os.path.join(real_root, "")):
        raise Forbidden("The path leads outside its folder by a link.", details="/".join(parts), type="path_outside")
    return Path(path)


def is_text(name: str) -> bool:
    """Whether a name that was found on the disk can be shown to clients: Unicode without control characters."""
    return name.isprintable() or not _UNSHOWABLE.search(name)


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 120 else text[:120] + "...")

"""Whole files or none: written under a hidden name in the same folder, then put in place in one step."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from typing import TYPE_CHECKING, Final

from comfykernel_sdk.errors import InvalidPath, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from comfykernel_sdk.storage import FileContent

HIDDEN: Final = ".comfykernel-"
"""Beginning of the names of files being written; no listing shows them."""
PART: Final = ".part"
"""Their end; before it stand the number of the process and a random word."""

# What file systems without hard links (FAT, some network shares) answer to link().
_NO_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EACCES})
_UNWRITABLE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO})


def replace_file(path: Path, data: bytes | bytearray, *, durable: bool = True) -> None:
    """Write a file, in place of one that is there. ``durable``: it survives a power cut once this returns.

    Raises:
        InvalidPath: a folder has that name, or a file stands where a folder is needed.
        Unavailable: the folder can't be written.
    """
    with _written(path.parent, data, durable=durable) as hidden:
        os.replace(hidden, path)


def create_file(
    paths: Iterable[Path], data: bytearray | FileContent, *, durable: bool = True, reuse: bool = False
) -> Path | None:
    """Write a new file under the first of these names that no process has taken (all in one folder).

    ``reuse``: a name whose file has the same content will do. Returns the path, ``None`` when all are taken.

    Raises:
        InvalidPath: a file stands where a folder is needed.
        Unavailable: the folder can't be written.
    """
    with contextlib.ExitStack() as stack:
        hidden: Path | None = None
        for path in paths:
            hidden = hidden or stack.enter_context(_written(path.parent, data, durable=durable))
            if _place(hidden, path) or (reuse and _holds(path, data)):
                return path
    return None


def move_to_free(source: Path, destination: Path) -> bool:
    """Rename a file to a name that is free; False when it is taken."""
    make_folder(destination.parent)
    if not _place(source, destination):
        return False
    source.unlink(missing_ok=True)
    return True


def make_folder(path: Path) -> None:
    """Make a folder with those above it.

    Raises:
        InvalidPath: a file stands in the way.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise InvalidPath("A file stands where a folder is needed.", details=path.name) from error


def _place(hidden: Path, path: Path) -> bool:
    """Give a finished file its name unless that is taken."""
    try:
        os.link(hidden, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _claim_and_replace(hidden, path)
    return True


def _claim_and_replace(hidden: Path, path: Path) -> bool:
    """The same where there are no hard links: an empty file takes the name for a moment."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except FileExistsError:
        return False
    os.replace(hidden, path)
    return True


def _holds(path: Path, data: bytearray | FileContent) -> bool:
    if not isinstance(data, bytes | bytearray):
        return False
    return path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data


@contextlib.contextmanager
def _written(folder: Path, data: bytearray | FileContent, *, durable: bool) -> Iterator[Path]:
    """A hidden file in the folder with the data, gone at the end."""
    hidden = folder / f"{HIDDEN}{os.getpid()}-{secrets.token_hex(8)}{PART}"
    try:
        make_folder(folder)
        with hidden.open("xb") as file:
            for part in (data,) if isinstance(data, bytes | bytearray) else data:
                file.write(part)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        yield hidden
        if durable:
            _sync_folder(folder)
    except IsADirectoryError as error:
        raise InvalidPath("A folder has this name.", details=str(error.filename2 or "")) from error
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        raise Unavailable(f"Can't write to {folder}: {error.strerror}.", type="storage_unavailable") from error
    finally:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            hidden.unlink()


def _sync_folder(path: Path) -> None:
    """Bring the new name itself to the disk (Windows has no such call and needs none)."""
    if os.name != "nt":
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

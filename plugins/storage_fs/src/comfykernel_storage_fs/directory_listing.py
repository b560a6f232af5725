"""Listing directories: once, or again and again, reading only those that have changed."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from comfykernel_sdk.file_names import is_text

from .atomic_write import HIDDEN

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# A directory that changed so lately (ns) may change again within the tick of its clock: read it anew next time.
# FAT counts in steps of two seconds.
FRESH_NS: Final = 2_000_000_000
# Deeper trees are cut: nobody keeps models there, and links can make a tree endless.
DEPTH: Final = 32
_SKIPPED: Final = frozenset({".git", "__pycache__"})


def files_below(
    folder: Path, *, within: Path, recursive: bool, below: str = ""
) -> Iterator[tuple[str, str, os.stat_result]]:
    """``(folder below the first one, name, stat)`` of the files of a folder; none when it is no folder.

    Names that are no Unicode text are left out, and links that lead out of ``within`` (a real path).
    """
    try:
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if entry.name.startswith(HIDDEN) or not is_text(entry.name):
            continue
        if entry.is_symlink() and not folder.joinpath(entry.name).resolve().is_relative_to(within):
            continue
        if recursive and entry.is_dir(follow_symlinks=False):
            deeper = f"{below}/{entry.name}".lstrip("/")
            yield from files_below(folder / entry.name, within=within, recursive=True, below=deeper)
        elif entry.is_file():
            with contextlib.suppress(FileNotFoundError):  # gone since the folder was read
                yield below, entry.name, entry.stat()


class _Directory(NamedTuple):
    """What was read of one directory."""

    changed_ns: int
    read_ns: int
    files: tuple[str, ...]
    folders: tuple[str, ...]

    def trusted(self, changed_ns: int) -> bool:
        """Whether it still holds for a directory that changed at ``changed_ns``."""
        return self.changed_ns == changed_ns and self.read_ns - changed_ns > FRESH_NS


class DirectoryListing:
    """Relative names (with ``/``) of all files below a directory, links followed. Not for two threads at a time."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._directories: dict[str, _Directory] = {}
        self._names: list[str] = []

    def names(self) -> tuple[list[str], bool]:
        """The names, unordered, and whether a directory had to be read for them. Don't change the list."""
        seen: dict[str, _Directory] = {}
        names: list[str] = []
        changed = self._walk(str(self.root), "", (), seen, names)
        if changed or len(seen) != len(self._directories):
            self._directories, self._names = seen, names
            return names, True
        return self._names, False

    def _walk(
        self,
        path: str,
        below: str,
        above: tuple[tuple[int, int], ...],
        seen: dict[str, _Directory],
        names: list[str],
    ) -> bool:
        """Add what is below a directory; ``above``: the directories it lies in, so that a link to one is no loop."""
        try:
            stat = os.stat(path)
            identity = (stat.st_dev, stat.st_ino)
            if identity in above or len(above) >= DEPTH:
                return False
            known = self._directories.get(path)
            changed = known is None or not known.trusted(stat.st_mtime_ns)
            directory = _read(path, stat.st_mtime_ns) if known is None or changed else known
        except OSError:  # gone, or not ours to read: as if it were empty
            return path in self._directories
        seen[path] = directory
        names.extend([below + name for name in directory.files] if below else directory.files)
        for folder in directory.folders:
            changed |= self._walk(os.path.join(path, folder), f"{below}{folder}/", (*above, identity), seen, names)
        return changed


def _read(path: str, changed_ns: int) -> _Directory:
    read_ns = time.time_ns()
    files: list[str] = []
    folders: list[str] = []
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.name.startswith(HIDDEN) or not is_text(entry.name):
                continue
            if entry.is_dir():
                if entry.name not in _SKIPPED:
                    folders.append(entry.name)
            elif entry.is_file():
                files.append(entry.name)
    return _Directory(changed_ns, read_ns, tuple(files), tuple(folders))

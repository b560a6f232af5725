"""Input, output and temporary files in three folders."""

from __future__ import annotations

import itertools
import logging
import os
import shutil
from typing import TYPE_CHECKING, BinaryIO, Final

from comfykernel_sdk.errors import Forbidden, InvalidPath, NotFound
from comfykernel_sdk.file_names import check_name, split_path
from comfykernel_sdk.storage import FILE_KINDS, FileContent, FileInfo, FileKind, FileRef, NumberedName

from .atomic_write import HIDDEN, create_file, make_folder, replace_file
from .confinement import inside
from .directory_listing import files_below
from .numbering import fill_tokens, next_counter

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

log = logging.getLogger(__name__)

# A folder with this name, or one that we made (it holds the mark), may be emptied.
TEMP_NAME: Final = "temp"
TEMP_MARK: Final = HIDDEN + "temp"


class FolderFileStore:
    """Files below one folder for each kind. See ``FileStore`` of the sdk for the methods."""

    def __init__(self, folders: Mapping[FileKind, Path]) -> None:
        self._folders = dict(folders)

    def numbered(self, prefix: str, kind: FileKind, *, width: int = 0, height: int = 0) -> NumberedName:
        """Place for the next files of ``prefix``. ``InvalidPath`` for a prefix that leaves the folder."""
        parts = split_path(fill_tokens(prefix, width=width, height=height))
        filename = parts.pop() if parts else ""
        folder = inside(self._made(kind), parts)
        make_folder(folder)
        return NumberedName(filename, "/".join(parts), next_counter(folder, filename), kind)

    def write(self, ref: FileRef, data: bytes | bytearray, *, overwrite: bool = True) -> FileRef:
        """Write a whole file, all or nothing; see the sdk for ``overwrite``."""
        path = self._path(ref, make=True)
        durable = ref.type != "temp"
        if overwrite:
            replace_file(path, data, durable=durable)
            return ref
        path = create_file(_alternatives(path), data, durable=durable, reuse=True) or path
        return FileRef(path.name, ref.subfolder, ref.type)

    def write_numbered(
        self, place: NumberedName, suffix: str, data: FileContent, *, offset: int = 0, batch_number: int = 0
    ) -> FileRef:
        """Write a whole file under the first number from ``place.counter + offset`` on that is free."""
        refs = (place.ref(suffix, offset=number, batch_number=batch_number) for number in itertools.count(offset))
        path = create_file((self._path(ref, make=True) for ref in refs), data, durable=place.type != "temp")
        return FileRef(path.name if path else "", place.subfolder, place.type)

    def open(self, ref: FileRef) -> BinaryIO:
        """Open for reading."""
        return self.local_path(ref).open("rb")

    def info(self, ref: FileRef) -> FileInfo:
        """Size and times of a file."""
        return _info(ref, self.local_path(ref).stat())

    def local_path(self, ref: FileRef) -> Path:
        """The file itself. ``NotFound`` when there is none."""
        path = self._path(ref)
        if not path.is_file():
            raise NotFound(f"There is no {ref.type} file {_shown(ref)}.", type="unknown_file")
        return path

    def parse(self, name: str, default: FileKind = "input") -> FileRef:
        """A file by the text that node inputs hold: ``sub/name.png``, with `` [output]`` etc. at its end."""
        kind = default
        for each in FILE_KINDS:
            if name == f"[{each}]" or name.endswith(f" [{each}]"):
                name, kind = name[: -len(each) - 3], each
                break
        parts = split_path(name)
        if not parts:
            raise InvalidPath("The file name is empty.")
        return FileRef(parts[-1], "/".join(parts[:-1]), kind)

    def list(self, kind: FileKind, *, recursive: bool = False) -> Iterator[FileInfo]:
        """The files of a kind, the newest first. Names that are no Unicode text and links to outside are left out."""
        root = self._root(kind).resolve()
        found = [
            _info(FileRef(name, below, kind), stat)
            for below, name, stat in files_below(root, within=root, recursive=recursive)
        ]
        yield from sorted(found, key=lambda info: (-info.modified, info.ref.subfolder, info.ref.filename))

    def delete(self, ref: FileRef) -> None:
        """Remove a file."""
        self.local_path(ref).unlink(missing_ok=True)

    def folder(self, kind: FileKind) -> str:
        """The folder's path."""
        return str(self._root(kind))

    def clear_temporary(self) -> None:
        """Remove all temporary files.

        A folder that was there before and is not called ``temp`` may hold other things: it is left alone.
        """
        root = self._root("temp")
        if not root.is_dir():
            return
        if root.name != TEMP_NAME and not (root / TEMP_MARK).exists():
            log.warning("The temp folder %s was not made by comfykernel: it is not emptied.", root)
            return
        for entry in root.iterdir():
            if entry.name != TEMP_MARK:
                _remove(entry)

    def _root(self, kind: FileKind) -> Path:
        if kind not in self._folders:
            raise InvalidPath(f"There is no kind of file called {kind!r}.", hint=f"One of {', '.join(FILE_KINDS)}.")
        return self._folders[kind]

    def _made(self, kind: FileKind) -> Path:
        root = self._root(kind)
        if not root.is_dir():
            make_folder(root)
            if kind == "temp":
                (root / TEMP_MARK).touch()
        return root

    def _path(self, ref: FileRef, *, make: bool = False) -> Path:
        name = check_name(ref.filename)
        root = self._made(ref.type) if make else self._root(ref.type)
        try:
            parts = split_path(ref.subfolder)
        except InvalidPath as error:
            raise Forbidden(error.message, hint=error.hint, type="path_outside") from None
        return inside(root, [*parts, name])


def _alternatives(path: Path) -> Iterator[Path]:
    """``name.png``, ``name (1).png``, ``name (2).png`` and so on; only the last ending counts."""
    yield path
    for number in itertools.count(1):
        yield path.with_name(check_name(f"{path.stem} ({number}){path.suffix}"))


def _remove(path: Path) -> None:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("The temporary file %s can't be removed: %s", path, error)


def _info(ref: FileRef, stat: os.stat_result) -> FileInfo:
    return FileInfo(ref, stat.st_size, stat.st_mtime, stat.st_ctime)


def _shown(ref: FileRef) -> str:
    return f"{ref.subfolder}/{ref.filename}".lstrip("/")

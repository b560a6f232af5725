"""Input, output and temporary files in memory."""

from __future__ import annotations

import io
import itertools
import re
import tempfile
import threading
import time
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

from ..errors import Forbidden, InvalidPath, NotFound
from ..file_names import check_name, split_path
from ..storage import FILE_KINDS, FileContent, FileInfo, FileKind, FileRef, NumberedName

if TYPE_CHECKING:
    from collections.abc import Iterator


class MemoryFiles:
    """A ``FileStore``; ``local_path`` gives a copy in a temporary folder."""

    def __init__(self) -> None:
        self._data: dict[FileRef, tuple[bytes, float]] = {}
        self._lock = threading.RLock()
        self._copies: tempfile.TemporaryDirectory[str] | None = None
        self._copy_numbers = itertools.count()

    def numbered(self, prefix: str, kind: FileKind, *, width: int = 0, height: int = 0) -> NumberedName:
        """Place for the next files of ``prefix``."""
        parts = split_path(_fill_tokens(prefix, width=width, height=height))
        filename = parts.pop() if parts else ""
        subfolder = "/".join(parts)
        pattern = re.compile("[0-9]+".join(map(re.escape, filename.split("%batch_num%"))) + "_([0-9]+)_")
        names = [ref.filename for ref in self._data if (ref.subfolder, ref.type) == (subfolder, kind)]
        taken = [int(match[1]) for name in names if (match := pattern.match(name))]
        return NumberedName(filename, subfolder, max(taken, default=0) + 1, kind)

    def write(self, ref: FileRef, data: bytes | bytearray, *, overwrite: bool = True) -> FileRef:
        """Write a whole file; see the sdk for ``overwrite``."""
        ref = _checked(ref)
        with self._lock:
            if not overwrite:
                name = PurePosixPath(ref.filename)
                later = (f"{name.stem} ({number}){name.suffix}" for number in itertools.count(1))
                refs = (FileRef(each, ref.subfolder, ref.type) for each in itertools.chain([ref.filename], later))
                ref = next(each for each in refs if self._data.get(each, (data, 0))[0] == data)
            self._data[ref] = (bytes(data), time.time())
        return ref

    def write_numbered(
        self, place: NumberedName, suffix: str, data: FileContent, *, offset: int = 0, batch_number: int = 0
    ) -> FileRef:
        """Write a whole file under the first number that is free."""
        data = data if isinstance(data, bytes) else b"".join(data)
        with self._lock:
            numbers = itertools.count(offset)
            refs = (place.ref(suffix, offset=number, batch_number=batch_number) for number in numbers)
            return self.write(next(ref for ref in refs if ref not in self._data), data)

    def open(self, ref: FileRef) -> BinaryIO:
        """Open for reading."""
        return io.BytesIO(self._found(ref)[0])

    def info(self, ref: FileRef) -> FileInfo:
        """Size and times of a file."""
        data, modified = self._found(ref)
        return FileInfo(ref, len(data), modified, modified)

    def local_path(self, ref: FileRef) -> Path:
        """A copy that is removed with this store."""
        data, _ = self._found(ref)
        with self._lock:
            self._copies = self._copies or tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
            folder = Path(self._copies.name) / str(next(self._copy_numbers))
        folder.mkdir()
        path = folder / ref.filename
        path.write_bytes(data)
        return path

    def parse(self, name: str, default: FileKind = "input") -> FileRef:
        """A file by the text that node inputs hold."""
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
        """The files of a kind, the newest first."""
        infos = [self.info(ref) for ref in self._data if ref.type == kind and (recursive or not ref.subfolder)]
        yield from sorted(infos, key=lambda info: -info.modified)

    def delete(self, ref: FileRef) -> None:
        """Remove a file."""
        self._found(ref)
        del self._data[ref]

    def folder(self, kind: FileKind) -> str:
        """There is none."""
        return f"memory:{kind}"

    def clear_temporary(self) -> None:
        """Remove all temporary files."""
        with self._lock:
            self._data = {ref: kept for ref, kept in self._data.items() if ref.type != "temp"}

    def _found(self, ref: FileRef) -> tuple[bytes, float]:
        found = self._data.get(_checked(ref))
        if found is None:
            raise NotFound(f"There is no {ref.type} file {ref.filename!r}.", type="unknown_file")
        return found


def _checked(ref: FileRef) -> FileRef:
    check_name(ref.filename)
    try:
        subfolder = "/".join(split_path(ref.subfolder))
    except InvalidPath as error:
        raise Forbidden(error.message, type="path_outside") from None
    return FileRef(ref.filename, subfolder, ref.type)


def _fill_tokens(prefix: str, *, width: int, height: int) -> str:
    now = datetime.now()
    values = {"width": str(width), "height": str(height), "year": str(now.year)}
    values |= {name: f"{getattr(now, name):02}" for name in ("month", "day", "hour", "minute", "second")}
    for name, value in values.items():
        prefix = prefix.replace(f"%{name}%", value)
    return prefix

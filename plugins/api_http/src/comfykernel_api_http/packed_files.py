"""Compressed forms of files: made when one is asked for first, and kept on disk for all later starts."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import logging
import os
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from comfykernel_sdk.storage import FileInfo, FileRef

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

PACKED_FROM: Final = 1400
"""Bytes from which compressing is worth it: less travels in one packet anyway."""
LEVEL: Final = 6
"""9 takes twice as long for one hundredth less."""
KEPT_BYTES: Final = 256 * 1024 * 1024
"""Of all compressed forms together; the oldest go. One version of the official page has about 15 MB."""

_PACKED_TYPES: Final = frozenset(
    {"application/json", "application/javascript", "application/wasm", "application/xml", "image/svg+xml", "font/ttf"}
)

_log = logging.getLogger(__name__)


def worth_packing(media: str) -> bool:
    """Whether files of this content type become much smaller."""
    return media.startswith("text/") or media in _PACKED_TYPES


class PackedFiles:
    """Keeps the gzip forms of files in a folder, by path, time and size of the original. For use in threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._usable = True
        self._pruning = threading.Lock()

    def opened(self, file: Path) -> tuple[FileInfo, BinaryIO] | None:
        """The compressed form with its size and the original's time; nothing for small files, or where none can be
        kept."""
        status = file.stat()
        if status.st_size < PACKED_FROM or not self._usable:
            return None
        name = hashlib.blake2b(os.fsencode(file), digest_size=16).hexdigest()
        kept = self._folder / f"{name}-{status.st_mtime_ns:x}-{status.st_size:x}.gz"
        try:
            stream: BinaryIO = kept.open("rb")
            size = os.fstat(stream.fileno()).st_size
        except OSError:
            packed = self._make(file, kept)
            if packed is None:
                return None
            stream, size = io.BytesIO(packed), len(packed)
        return FileInfo(FileRef(file.name), size, status.st_mtime), stream

    def _make(self, file: Path, kept: Path) -> bytes | None:
        packed = gzip.compress(file.read_bytes(), LEVEL, mtime=0)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._folder, delete=False) as unfinished:
                unfinished.write(packed)
            Path(unfinished.name).replace(kept)
            self._prune()
        except OSError as error:
            self._usable = False
            _log.warning("Files of the web page are sent as they are: %s can't be written: %s", self._folder, error)
            return None
        return packed

    def _prune(self) -> None:
        with self._pruning:
            files = sorted(self._forms(), key=lambda form: form[0])
            total = sum(size for _, size, _ in files)
            for _, size, path in files:
                if total <= KEPT_BYTES:
                    return
                total -= size
                path.unlink(missing_ok=True)

    def _forms(self) -> Iterator[tuple[float, int, Path]]:
        """Time, size and path of each kept form."""
        for path in self._folder.glob("*.gz"):
            # Another process on the same folder may prune at the same time.
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                yield status.st_mtime, status.st_size, path

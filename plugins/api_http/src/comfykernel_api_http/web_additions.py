"""What other plugins add: addresses, and directories of files."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, TypeAlias

from comfykernel_sdk.errors import PluginError
from comfykernel_sdk.storage import FileInfo, FileRef

from .added_routes import AddedRoutes
from .answers import Answer
from .errors import RequestRefused
from .handlers.node import accepts_gzip
from .media_types import media_type
from .packed_files import PackedFiles, worth_packing
from .stored_files import file_answer

if TYPE_CHECKING:
    from comfykernel_sdk.transport import Kernel

    from .asgi import HeaderList

RegisterRoute: TypeAlias = Callable[..., None]
"""``register(path, app, *, operations=None, schemas=None)``."""
Directories: TypeAlias = Callable[[], Mapping[str, Path]]
MadeFile: TypeAlias = Callable[[str], tuple[bytes, str] | None]
"""Content and content type for a path below a prefix."""
RegisterDirectory: TypeAlias = Callable[..., None]
"""``register(prefix, directory, *, lasting=(), otherwise=None)``; ``directory`` is a path, several paths, or
:data:`Directories`; ``otherwise`` a :data:`MadeFile`."""

ASK_AGAIN: Final = (b"cache-control", b"no-cache")
VARY: Final = (b"vary", b"accept-encoding")
KEEP: Final = (b"cache-control", b"public, max-age=31536000, immutable")
PAGE_HEADERS: Final[HeaderList] = [ASK_AGAIN, (b"pragma", b"no-cache"), (b"expires", b"0")]
INDEX: Final = "index.html"


class _Site:
    """Files below one prefix."""

    def __init__(
        self,
        prefix: str,
        directory: Path | Sequence[Path] | Directories,
        lasting: tuple[str, ...],
        otherwise: MadeFile | None,
    ) -> None:
        self.prefix = prefix.rstrip("/") + "/"
        self._lasting = lasting
        self._otherwise = otherwise
        self._by_name = directory if callable(directory) else None
        self._installed = () if callable(directory) else (directory,) if isinstance(directory, Path) else (*directory,)
        # What is installed does not change while the server runs: most requests are told apart without the disk, and
        # a path is looked for once.
        self._first = frozenset(name for each in self._installed for name in os.listdir(each))
        self._found: dict[str, Path] = {}

    def may_have(self, path: str) -> bool:
        """Whether it is worth asking the disk."""
        if not path.startswith(self.prefix):
            return False
        if self._by_name is not None or self._otherwise is not None:
            return True
        return path[len(self.prefix) :].partition("/")[0] in self._first

    def find(self, path: str) -> Path | None:
        """The file of a path that starts with the prefix. Reads the disk."""
        rest = path[len(self.prefix) :]
        if self._by_name is not None:
            name, _, rest = rest.partition("/")
            directory = self._by_name().get(name)
            return None if directory is None else confined_file(directory, rest)
        found = self._found.get(rest)
        if found is None or not found.is_file():
            found = next((file for each in self._installed if (file := confined_file(each, rest)) is not None), None)
            if found is not None:
                self._found[rest] = found
        return found

    def make(self, path: str) -> Answer | None:
        """What stands in for a file that is not there."""
        made = None if self._otherwise is None else self._otherwise(path[len(self.prefix) :])
        if made is None:
            return None
        content, media = made
        return Answer(content, media=media.encode(), headers=[ASK_AGAIN])

    def caching(self, path: str) -> tuple[bytes, bytes]:
        """The header that tells how long a browser may keep the file."""
        first = path[len(self.prefix) :].partition("/")[0]
        return KEEP if first in self._lasting else ASK_AGAIN


class WebAdditions:
    """Asks the plugins once, then answers for them."""

    def __init__(self, kernel: Kernel) -> None:
        self.routes = AddedRoutes()
        self._sites: list[_Site] = []
        self._packed = PackedFiles(kernel.settings.paths.folder("state") / "compressed")
        kernel.call_hook("register_http_routes", register=self.routes.add, kernel=kernel)
        kernel.call_hook("register_route_finders", register=self.routes.add_finder, kernel=kernel)
        kernel.call_hook("register_web_directories", register=self._add_directory, kernel=kernel)
        self._sites.sort(key=lambda site: len(site.prefix), reverse=True)

    async def answer(self, path: str, headers: Mapping[bytes, bytes]) -> Answer | None:
        """The file at a path; nothing when the transport's own handlers may know it.

        Raises:
            RequestRefused: 404, the path lies in a directory of a plugin that has no such file.
        """
        path = f"/{INDEX}" if path == "/" else path
        sites = [site for site in self._sites if site.may_have(path)]
        if not sites:
            return None
        return await asyncio.to_thread(_answer, sites, path, headers, self._packed)

    def _add_directory(
        self,
        prefix: str,
        directory: Path | Sequence[Path] | Directories,
        *,
        lasting: tuple[str, ...] = (),
        otherwise: MadeFile | None = None,
    ) -> None:
        site = _Site(prefix, directory, lasting, otherwise)
        if site.prefix in (other.prefix for other in self._sites):
            raise PluginError(f"The files below {prefix} are given by another plugin.")
        self._sites.append(site)


def confined_file(directory: Path, relative: str) -> Path | None:
    """A regular file below a directory; nothing for names that would lead out of it, by ``..`` or by a link."""
    parts = relative.split("/")
    if any(part in ("", ".", "..") or part.startswith(".") for part in parts) or any(c in relative for c in "\\\0:"):
        return None
    root = directory.resolve()
    try:
        found = root.joinpath(*parts).resolve(strict=True)
    except (OSError, ValueError, RuntimeError):
        return None
    return found if found.is_relative_to(root) and found.is_file() else None


def _answer(sites: list[_Site], path: str, headers: Mapping[bytes, bytes], packed: PackedFiles) -> Answer | None:
    for site in sites:
        file = site.find(path)
        if file is not None:
            return _file_answer(file, headers, PAGE_HEADERS if file.name == INDEX else [site.caching(path)], packed)
        if (made := site.make(path)) is not None:
            return made
    if sites[0].prefix == "/":
        return None
    raise RequestRefused(404, "not_found", f"There is no file at {path}.", headers=[ASK_AGAIN])


def _file_answer(file: Path, headers: Mapping[bytes, bytes], more: HeaderList, packed: PackedFiles) -> Answer:
    """The file, compressed for those who take that and want the whole of it."""
    media = media_type(file.name)
    content_type = _with_charset(media)
    if worth_packing(media):
        more = [*more, VARY]
        if b"range" not in headers and accepts_gzip(headers.get(b"accept-encoding", b"")):
            opened = packed.opened(file)
            if opened is not None:
                return file_answer(lambda: opened, headers, content_type, [(b"content-encoding", b"gzip"), *more])
    return file_answer(partial(_open, file), headers, content_type, more)


def _open(file: Path) -> tuple[FileInfo, BinaryIO]:
    stream = file.open("rb")
    status = os.fstat(stream.fileno())
    assert stat.S_ISREG(status.st_mode)
    return FileInfo(FileRef(file.name), status.st_size, status.st_mtime), stream


def _with_charset(media: str) -> str:
    return f"{media}; charset=utf-8" if media.startswith("text/") or media == "application/json" else media

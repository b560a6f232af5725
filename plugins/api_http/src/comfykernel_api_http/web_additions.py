"""What other plugins add: addresses, and directories of files."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, TypeAlias

from comfykernel_sdk.errors import PluginError
from comfykernel_sdk.storage import FileInfo, FileRef

from .asgi import AsgiApp
from .errors import RequestRefused
from .media_types import media_type
from .stored_files import file_answer

if TYPE_CHECKING:
    from comfykernel_sdk.transport import Kernel

    from .answers import Answer
    from .asgi import HeaderList

RegisterRoute: TypeAlias = Callable[[str, AsgiApp], None]
Directories: TypeAlias = Callable[[], Mapping[str, Path]]
RegisterDirectory: TypeAlias = Callable[..., None]
"""``register(prefix, directory, *, lasting=())``; ``directory`` is a path or :data:`Directories`."""

ASK_AGAIN: Final = (b"cache-control", b"no-cache")
KEEP: Final = (b"cache-control", b"public, max-age=31536000, immutable")
PAGE_HEADERS: Final[HeaderList] = [ASK_AGAIN, (b"pragma", b"no-cache"), (b"expires", b"0")]
INDEX: Final = "index.html"


class _Site:
    """Files below one prefix."""

    def __init__(self, prefix: str, directory: Path | Directories, lasting: tuple[str, ...]) -> None:
        self.prefix = prefix.rstrip("/") + "/"
        self._directory = directory
        self._lasting = lasting
        # What is installed does not change while the server runs: most requests are told apart without the disk.
        self._first = frozenset(os.listdir(directory)) if isinstance(directory, Path) else None

    def may_have(self, path: str) -> bool:
        """Whether it is worth asking the disk."""
        if not path.startswith(self.prefix):
            return False
        return self._first is None or path[len(self.prefix) :].partition("/")[0] in self._first

    def find(self, path: str) -> Path | None:
        """The file of a path that starts with the prefix. Reads the disk."""
        rest = path[len(self.prefix) :]
        if isinstance(self._directory, Path):
            return confined_file(self._directory, rest)
        name, _, rest = rest.partition("/")
        directory = self._directory().get(name)
        return None if directory is None else confined_file(directory, rest)

    def caching(self, path: str) -> tuple[bytes, bytes]:
        """The header that tells how long a browser may keep the file."""
        first = path[len(self.prefix) :].partition("/")[0]
        return KEEP if first in self._lasting else ASK_AGAIN


class WebAdditions:
    """Asks the plugins once, then answers for them."""

    def __init__(self, kernel: Kernel) -> None:
        self._routes: dict[str, AsgiApp] = {}
        self._sites: list[_Site] = []
        kernel.call_hook("register_http_routes", register=self._add_route, kernel=kernel)
        kernel.call_hook("register_web_directories", register=self._add_directory, kernel=kernel)
        self._sites.sort(key=lambda site: len(site.prefix), reverse=True)

    def app(self, path: str) -> AsgiApp | None:
        """The application that serves this path: exactly, or what lies right below."""
        return self._routes.get(path) or self._routes.get(path.rpartition("/")[0] + "/")

    async def answer(self, path: str, headers: Mapping[bytes, bytes]) -> Answer | None:
        """The file at a path; nothing when the transport's own handlers may know it.

        Raises:
            RequestRefused: 404, the path lies in a directory of a plugin that has no such file.
        """
        path = f"/{INDEX}" if path == "/" else path
        sites = [site for site in self._sites if site.may_have(path)]
        if not sites:
            return None
        return await asyncio.to_thread(_answer, sites, path, headers)

    def _add_route(self, path: str, app: AsgiApp) -> None:
        if path == "/" or path in self._routes:
            raise PluginError(f"The address {path} is taken.")
        self._routes[path] = app

    def _add_directory(self, prefix: str, directory: Path | Directories, *, lasting: tuple[str, ...] = ()) -> None:
        site = _Site(prefix, directory, lasting)
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


def _answer(sites: list[_Site], path: str, headers: Mapping[bytes, bytes]) -> Answer | None:
    for site in sites:
        file = site.find(path)
        if file is not None:
            cache = PAGE_HEADERS if file.name == INDEX else [site.caching(path)]
            return file_answer(partial(_open, file), headers, _content_type(file.name), cache)
    if sites[0].prefix == "/":
        return None
    raise RequestRefused(404, "not_found", f"There is no file at {path}.", headers=[ASK_AGAIN])


def _open(file: Path) -> tuple[FileInfo, BinaryIO]:
    stream = file.open("rb")
    status = os.fstat(stream.fileno())
    assert stat.S_ISREG(status.st_mode)
    return FileInfo(FileRef(file.name), status.st_size, status.st_mtime), stream


def _content_type(name: str) -> str:
    kind = media_type(name)
    return f"{kind}; charset=utf-8" if kind.startswith("text/") or kind == "application/json" else kind

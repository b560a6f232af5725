"""Watches sources and starts the workers anew; the server, its connections and its queue stay as they are."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from watchfiles import Change, DefaultFilter, awatch

from comfykernel_sdk.errors import NotFound, Unavailable

from .folders import INSTALLATION_SUFFIXES, package_folders, source_folders

if TYPE_CHECKING:
    from collections.abc import Iterable

    from comfykernel_sdk.json_types import Json, JsonObject
    from comfykernel_sdk.nodes import NodeSpec
    from comfykernel_sdk.transport import Kernel

    from ..settings import DevtoolsSettings

SETTLED_MS: Final = 100
"""Milliseconds of silence after a change before it counts: editors and tools write several files."""
INSTALLED_MS: Final = 700
"""The same for installations, which take longer."""
FOLDERS_OF_PACKS: Final = "custom_nodes"
"""The name under which a storage knows folders whose Python files are node packs, in the form of the peer."""
SHOWN: Final = 6
"""Names shown of many."""

MESSAGE: Final = "comfykernel_reloaded"
"""Tells WebSocket clients which nodes are new, gone and changed."""

Send: TypeAlias = "Callable[[str, Json, str | None], None]"

log = logging.getLogger("comfykernel.reload")
# It counts changes; ours are named.
logging.getLogger("watchfiles").setLevel(logging.WARNING)


class PythonSources(DefaultFilter):
    """Lets Python files through, but not those of tests, caches and tools."""

    ignore_dirs = (*DefaultFilter.ignore_dirs, "tests", "build", "dist", ".ruff_cache")

    def __call__(self, change: Change, path: str) -> bool:
        """Whether this change matters."""
        return path.endswith((".py", ".so", ".pyd")) and super().__call__(change, path)


def is_installation(_: Change, path: str) -> bool:
    """Whether a package was installed or taken away."""
    return path.endswith(INSTALLATION_SUFFIXES)


class Reloader:
    """Restarts the workers of a server whenever a node pack changes, while :meth:`run` runs.

    ``send`` tells WebSocket clients, where the transport has such. ``begun`` is the time, in seconds of the clock,
    from which on workers may have read sources: what changed between it and the first watch counts, too.
    """

    def __init__(self, kernel: Kernel, settings: DevtoolsSettings, send: Send | None, *, begun: float) -> None:
        self._kernel = kernel
        self._settings = settings
        self._send = send
        self._begun = begun
        self._folders_watched: set[Path] = set()
        self._sources: asyncio.Task[None] | None = None
        self._changed: set[str] = set()
        self._some_changed = asyncio.Event()

    async def run(self) -> None:
        """Follow changes until cancelled, or until the scheduler says that it can't start workers anew."""
        installed = asyncio.create_task(
            self._follow(package_folders(), is_installation, step_ms=INSTALLED_MS, recursive=False)
        )
        try:
            await self._watch_sources()
            self._note(await asyncio.to_thread(_changed_since, self._folders_watched, self._begun))
            while True:
                await self._some_changed.wait()
                self._some_changed.clear()
                changed, self._changed = self._changed, set()
                # Before the workers read the sources: what changes after that is seen.
                await self._watch_sources()
                await self._reload(changed)
        except Unavailable as error:
            log.error("Changes are not followed: %s", error)
        finally:
            for task in (installed, self._sources):
                if task is not None:
                    task.cancel()

    async def _watch_sources(self) -> None:
        """Watch the packs that are there now; the watch stands when this returns, and none ends before it."""
        folders, earlier = self._folders(), self._sources
        if folders == self._folders_watched and earlier is not None:
            return
        self._folders_watched = folders
        self._sources = asyncio.create_task(self._follow(folders, PythonSources(), step_ms=SETTLED_MS))
        # The task sets up its watch before it waits for the first time.
        await asyncio.sleep(0)
        if earlier is not None:
            earlier.cancel()
        log.info("Watching %s.", _listed(map(str, folders)) or "for node packs that get installed")

    def _note(self, paths: set[str]) -> None:
        if paths:
            self._changed |= paths
            self._some_changed.set()

    def _folders(self) -> set[Path]:
        settings = self._kernel.settings
        folders = source_folders(settings.plugins.disabled)
        folders |= {Path(name).expanduser().resolve() for name in self._settings.reload_folders}
        with contextlib.suppress(NotFound):
            folders |= set(map(Path, self._kernel.models.roots(FOLDERS_OF_PACKS)))
        return {folder for folder in folders if folder.is_dir()}

    async def _follow(
        self, folders: set[Path], matters: Callable[[Change, str], bool], *, step_ms: int, recursive: bool = True
    ) -> None:
        if not folders:
            return
        try:
            async for changes in awatch(*folders, watch_filter=matters, step=step_ms, recursive=recursive):
                self._note({path for _, path in changes})
        except (OSError, RuntimeError) as error:  # folders that vanish, too many files for the system
            log.error("%s can't be watched: %s", _listed(map(str, folders)), error)

    async def _reload(self, changed: set[str]) -> None:
        begun = time.perf_counter()
        log.info("Changed: %s. Workers start anew.", _listed(Path(path).name for path in changed))
        for path in changed:
            _forget_bytecode(path)
        before = self._kernel.node_specs()
        await self._kernel.restart_workers(finish_s=self._settings.reload_patience_s)
        for worker in self._kernel.workers():
            if worker.error:
                log.error("Worker %s does not start: %s", worker.name, worker.error)
        for pack in self._kernel.node_packs():
            if pack.get("error"):
                log.error("Pack %s does not load; the others do. %s", pack.get("name"), _last_line(pack["error"]))
        after = self._kernel.node_specs()
        changes = _difference(before, after)
        told = "".join(f"; {word}: {_listed(ids)}" for word, ids in changes.items() if ids)
        log.info("Reloaded in %.1f s: %d nodes%s.", time.perf_counter() - begun, len(after), told)
        if self._send is not None and any(changes.values()):
            data: JsonObject = {word: [*ids] for word, ids in changes.items()}
            self._send(MESSAGE, data, None)


def _changed_since(folders: set[Path], begun: float) -> set[str]:
    matters = PythonSources()
    found: set[str] = set()
    for path in (path for folder in folders for path in folder.rglob("*.py")):
        with contextlib.suppress(FileNotFoundError):
            if matters(Change.modified, str(path)) and path.stat().st_mtime > begun:
                found.add(str(path))
    return found


def _forget_bytecode(path: str) -> None:
    """A second edit of the same length within a second would run with the code of the first: Python compares these."""
    if path.endswith(".py"):
        Path(importlib.util.cache_from_source(path)).unlink(missing_ok=True)


def _difference(before: dict[str, NodeSpec], after: dict[str, NodeSpec]) -> dict[str, list[str]]:
    return {
        "new": sorted(after.keys() - before.keys()),
        "gone": sorted(before.keys() - after.keys()),
        "changed": sorted(id for id in after.keys() & before.keys() if after[id] != before[id]),
    }


def _listed(names: Iterable[str]) -> str:
    words = sorted(set(names))
    more = f" and {len(words) - SHOWN} more" if len(words) > SHOWN else ""
    return ", ".join(words[:SHOWN]) + more


def _last_line(text: object) -> str:
    return str(text).rstrip().rpartition("\n")[2]

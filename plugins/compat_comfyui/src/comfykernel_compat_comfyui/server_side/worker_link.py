"""Speaks with the part of this plugin in a worker, over the socket file that it listens on."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from comfykernel_sdk.errors import Unavailable

from ..compat_settings import NAME
from ..service_address import socket_of

if TYPE_CHECKING:
    from pathlib import Path

    import aiohttp

    from comfykernel_sdk.json_types import JsonObject
    from comfykernel_sdk.transport import Kernel

log = logging.getLogger(__name__)

ALIVE: Final = ("idle", "busy")
HOST: Final = "http://worker"
"""Stands where an address wants a host; it is not looked up."""


class WorkerLink:
    """Finds a worker that has packs, and keeps connections to it."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._sessions: dict[Path, aiohttp.ClientSession] = {}

    def about(self) -> JsonObject:
        """What the worker told of its packs together; empty without packs."""
        return next((pack for pack in self._kernel.node_packs() if pack.get("name") == NAME), {})

    def socket(self) -> Path | None:
        """The socket of a worker that is ready; nothing while there is none."""
        for worker in self._kernel.workers():
            if worker.state in ALIVE and worker.pid is not None and (path := socket_of(worker.pid)).exists():
                return path
        return None

    def session(self) -> aiohttp.ClientSession:
        """Connections to a worker.

        Raises:
            Unavailable: no worker is ready.
        """
        path = self.socket()
        if path is None:
            raise Unavailable("The nodes' worker is not ready.", hint="Try again in a moment.", type="worker_not_ready")
        if path not in self._sessions:
            import aiohttp

            connector = aiohttp.UnixConnector(path=str(path), limit=0)
            self._sessions[path] = aiohttp.ClientSession(connector=connector, auto_decompress=False)
        return self._sessions[path]

    async def close(self) -> None:
        """Close all connections."""
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()

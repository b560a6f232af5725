"""Tells over HTTP how busy the server's event loop was in one go, at most: GET /benchmark/loop, in milliseconds.

A timer stands for every other client. Between two of its ticks ``cpu_ms`` is what the loop's thread has used of a
processor, and ``wall_ms`` the time that passed, less what the thread waited for a processor. What the loop did in one
go took no longer than that; the second contains up to one interval of rest, and waiting for other threads of a process
that other programs keep from running. Each answer starts a new period.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from comfykernel_sdk.hooks import hookimpl

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from comfykernel_sdk.transport import Kernel

INTERVAL_S: Final = 0.001
"""Between two ticks: how exact the result is."""


class LoopWatch:
    """An ASGI application that watches the loop from its first request on."""

    def __init__(self) -> None:
        self.cpu = self.wall = 0.0
        self.last: tuple[float, float, float] | None = None
        self.status = Path("/dev/null")

    def tick(self) -> None:
        waited = float((self.status.read_text() or "0 0").split()[1]) / 1e9
        now = time.perf_counter(), time.thread_time(), waited
        if self.last is not None:
            wall, cpu, waited = (new - old for new, old in zip(now, self.last, strict=True))
            self.cpu = max(self.cpu, cpu)
            self.wall = max(self.wall, wall - waited)
        self.last = now
        asyncio.get_running_loop().call_later(INTERVAL_S, self.tick)

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        if self.last is None:
            self.status = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
            self.tick()
        body = json.dumps({"cpu_ms": self.cpu * 1000, "wall_ms": self.wall * 1000}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        self.cpu = self.wall = 0.0


@hookimpl(optionalhook=True)
def register_http_routes(register: Callable[..., None], kernel: Kernel) -> None:
    """Offer the address."""
    register("/benchmark/loop", LoopWatch())

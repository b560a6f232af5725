"""Serves the routes of packs, and what the server asks, on a socket of this process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import threading
from typing import TYPE_CHECKING, Final

import msgspec
from aiohttp import web

from ..service_address import MESSAGES, PROMPT, SPECS, socket_of

if TYPE_CHECKING:
    from .fresh_specs import FreshSpecs
    from .prompt_server import PromptServer

log = logging.getLogger(__name__)

WAIT_FOR_MESSAGES_S: Final = 1.0
"""Seconds after which a waiting reader is looked after again."""


class HttpService:
    """One thread with an event loop of its own."""

    def __init__(self, server: PromptServer, specs: FreshSpecs) -> None:
        self._server = server
        self._specs = specs
        self._ready = threading.Event()
        self._add_routes()

    def patterns(self) -> list[str]:
        """Regular expressions for the paths that packs serve."""
        patterns = []
        for resource in self._server.app.router.resources():
            info = resource.get_info()
            if "path" in info:
                patterns.append(re.escape(info["path"]))
            elif "pattern" in info:
                patterns.append(info["pattern"].pattern)
            elif "prefix" in info:
                patterns.append(re.escape(info["prefix"]) + "(/.*)?")
        return patterns

    def start(self) -> None:
        """Listen; returns when requests are answered."""
        own = [
            web.post(SPECS, self._tell_specs),
            web.post(PROMPT, self._filter_prompt),
            web.get(MESSAGES, self._stream),
        ]
        self._server.app.add_routes(own)
        threading.Thread(target=self._run, name="pack-routes", daemon=True).start()
        self._ready.wait()

    def _add_routes(self) -> None:
        """Add what packs declared; a route that can't be added is named in the log."""
        for route in self._server.routes:
            try:
                self._server.app.add_routes([route])
            except (ValueError, RuntimeError) as error:
                log.error("A route of a pack can't be added: %r: %s", route, error)

    def _run(self) -> None:
        loop = self._server.loop
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(self._listen())
            loop.call_soon(self._ready.set)
            loop.run_forever()
        except Exception:
            log.exception("The routes of packs can't be served")
            self._ready.set()

    async def _listen(self) -> None:
        path = socket_of(os.getpid())
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        runner = web.AppRunner(self._server.app, access_log=None)
        await runner.setup()
        await web.UnixSite(runner, str(path)).start()

    async def _tell_specs(self, request: web.Request) -> web.Response:
        ids = msgspec.json.decode(await request.read(), type=list[str] | None)
        changed = await asyncio.to_thread(self._specs.changed, ids)
        return web.Response(body=msgspec.msgpack.encode(changed), content_type="application/msgpack")

    async def _filter_prompt(self, request: web.Request) -> web.Response:
        posted = msgspec.json.decode(await request.read(), type=dict)
        changed = await asyncio.to_thread(self._server.trigger_on_prompt, posted)
        return web.Response(body=msgspec.json.encode(changed), content_type="application/json")

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        """Messages as lines of JSON, until the reader hangs up."""
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            messages = await asyncio.to_thread(self._server.outbox.take, WAIT_FOR_MESSAGES_S)
            # An empty line finds out whether the reader is still there.
            lines = b"".join(msgspec.json.encode(message) + b"\n" for message in messages) or b"\n"
            await response.write(lines)

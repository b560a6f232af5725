"""Passes requests on to the routes of packs."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from ..service_address import OWN_PREFIX

if TYPE_CHECKING:
    import aiohttp

    from .worker_link import WorkerLink

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

API: Final = "/api"
HOP_BY_HOP: Final = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization te trailers transfer-encoding upgrade".split()
)
"""Headers that concern one connection only (RFC 9110, section 7.6.1)."""
OURS: Final = frozenset({b"server", b"date"})
"""Headers of answers that the transport adds itself."""
CHUNK: Final = 64 * 1024


class RouteProxy:
    """Knows which paths packs serve, and serves them."""

    def __init__(self, link: WorkerLink, timeout_s: float) -> None:
        self._link = link
        self._timeout_s = timeout_s
        self._known: tuple[object, re.Pattern[str] | None] = (None, None)

    def find(self, path: str) -> App | None:
        """The application of a path, bare or below ``/api``; nothing when no pack serves it."""
        pattern = self._pattern()
        if pattern is None or path.startswith(OWN_PREFIX):
            return None
        for candidate in dict.fromkeys((path, path.removeprefix(API))):
            if candidate.startswith("/") and pattern.fullmatch(candidate):
                return _Proxy(self._link, candidate, self._timeout_s)
        return None

    def _pattern(self) -> re.Pattern[str] | None:
        routes = self._link.about().get("routes")
        if routes is not self._known[0]:
            own = (
                [str(route) for route in routes if not str(route).startswith(re.escape(OWN_PREFIX))]
                if isinstance(routes, list)
                else []
            )
            # Names of groups may occur in several patterns.
            nameless = [re.sub(r"\(\?P<\w+>", "(?:", route) for route in own]
            self._known = (routes, re.compile("|".join(nameless)) if nameless else None)
        return self._known[1]


class _Proxy:
    """One path."""

    def __init__(self, link: WorkerLink, path: str, timeout_s: float) -> None:
        self._link = link
        self._path = path
        self._timeout_s = timeout_s

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        import aiohttp
        from yarl import URL

        from .worker_link import HOST

        raw: bytes = scope.get("raw_path") or self._path.encode()
        path = raw.decode("latin-1")
        path = path if path.removeprefix(API) == path or self._path.startswith(API) else path.removeprefix(API)
        query: bytes = scope.get("query_string", b"")
        url = URL(HOST + path + ("?" + query.decode("latin-1") if query else ""), encoded=True)
        headers = [(n.decode(), v.decode("latin-1")) for n, v in scope["headers"] if n.lower() not in HOP_BY_HOP]
        timeout = aiohttp.ClientTimeout(total=None, sock_read=self._timeout_s)
        try:
            async with self._link.session().request(
                scope["method"], url, headers=headers, data=_body(receive), allow_redirects=False, timeout=timeout
            ) as response:
                await _pass_on(response, send)
        except aiohttp.ServerDisconnectedError as error:
            await _refuse(send, 502, "worker_lost", f"The worker ended while it answered: {error}")
        except TimeoutError:
            await _refuse(send, 504, "route_timeout", f"The pack gave no answer within {self._timeout_s:g} s.")
        except aiohttp.ClientConnectionError as error:
            await _refuse(send, 503, "worker_not_ready", f"The nodes' worker can't be reached: {error}")


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        more = message.get("more_body", False)
        if chunk := message.get("body", b""):
            yield chunk


async def _pass_on(response: aiohttp.ClientResponse, send: Send) -> None:
    headers = [(n.lower(), v) for n, v in response.raw_headers if n.lower() not in HOP_BY_HOP | OURS]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    async for chunk in response.content.iter_chunked(CHUNK):
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _refuse(send: Send, status: int, type: str, message: str) -> None:
    detail = {"type": type, "message": message, "details": "", "extra_info": {}}
    body = msgspec.json.encode({"error": detail, "node_errors": {}})
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

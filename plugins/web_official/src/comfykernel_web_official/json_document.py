"""A JSON document as an ASGI application: made in a thread, compressed, and sent only when it has changed."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias

import msgspec

Message: TypeAlias = MutableMapping[str, Any]
Header: TypeAlias = tuple[bytes, bytes]

COMPRESSED_FROM: Final = 4096
"""Bytes from which compressing is worth it."""


class JsonDocument:
    """Serves what ``make(name)`` returns, for the path's last segment; ``None`` is answered with 404.

    ``make`` is called in a thread: it may read the disk.
    """

    def __init__(self, make: Callable[[str], object]) -> None:
        self._make = make
        self._packed: tuple[bytes, bytes] = (b"", b"")

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Answer GET; every other method gets 405."""
        status, headers, body = 405, [(b"allow", b"GET, HEAD, OPTIONS")], b""
        if scope["method"] in ("GET", "HEAD"):
            status, headers, body = await asyncio.to_thread(self._answer, scope["path"], dict(scope["headers"]))
        headers = [*headers, (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _answer(self, path: str, asked: dict[bytes, bytes]) -> tuple[int, list[Header], bytes]:
        value = self._make(path.rpartition("/")[2])
        if value is None:
            return 404, [(b"content-type", b"application/json")], msgspec.json.encode(_nothing_at(path))
        body = msgspec.json.encode(value)
        tag = b'"' + hashlib.blake2b(body, digest_size=16).hexdigest().encode() + b'"'
        headers: list[Header] = [(b"etag", tag), (b"cache-control", b"no-cache"), (b"vary", b"accept-encoding")]
        if tag in asked.get(b"if-none-match", b""):
            return 304, headers, b""
        headers.append((b"content-type", b"application/json"))
        if len(body) >= COMPRESSED_FROM and b"gzip" in asked.get(b"accept-encoding", b""):
            headers.append((b"content-encoding", b"gzip"))
            body = self._compressed(tag, body)
        return 200, headers, body

    def _compressed(self, tag: bytes, body: bytes) -> bytes:
        """The compressed form; the last one is kept."""
        kept_tag, packed = self._packed
        if kept_tag != tag:
            packed = gzip.compress(body, compresslevel=6, mtime=0)
            self._packed = (tag, packed)
        return packed


def _nothing_at(path: str) -> object:
    """The body of an error, in the form of all others."""
    detail = {"type": "not_found", "message": f"There is nothing at {path}.", "details": "", "extra_info": {}}
    return {"error": detail, "node_errors": {}}

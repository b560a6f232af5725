"""A JSON document as an ASGI application: made in a thread when it changes, kept compressed, sent once."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import Awaitable, Callable, Hashable, MutableMapping
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

Message: TypeAlias = MutableMapping[str, Any]
Header: TypeAlias = tuple[bytes, bytes]

COMPRESSED_FROM: Final = 4096
"""Bytes from which compressing is worth it."""


class _Made(NamedTuple):
    version: Hashable
    tag: bytes
    body: bytes
    packed: bool


class JsonDocument:
    """Serves what ``make(name)`` returns, for the path's last segment; ``None`` is answered with 404.

    ``version(name)`` tells cheaply whether what was made last still holds; without it a document is made each time.
    Both are called in a thread: they may read the disk.
    """

    def __init__(self, make: Callable[[str], object], version: Callable[[str], Hashable] | None = None) -> None:
        self._make = make
        self._version = version
        self._kept: _Made | None = None

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
        made = self._made(path.rpartition("/")[2])
        if made is None:
            return 404, [(b"content-type", b"application/json")], msgspec.json.encode(_nothing_at(path))
        headers: list[Header] = [(b"etag", made.tag), (b"cache-control", b"no-cache"), (b"vary", b"accept-encoding")]
        known = asked.get(b"if-none-match", b"")
        if known == b"*" or made.tag in [tag.strip().removeprefix(b"W/") for tag in known.split(b",")]:
            return 304, headers, b""
        headers.append((b"content-type", b"application/json"))
        body = made.body
        if made.packed and accepts_gzip(asked.get(b"accept-encoding", b"")):
            headers.append((b"content-encoding", b"gzip"))
        elif made.packed:
            body = gzip.decompress(body)
        return 200, headers, body

    def _made(self, name: str) -> _Made | None:
        version = None if self._version is None else (name, self._version(name))
        kept = self._kept
        if kept is not None and version is not None and kept.version == version:
            return kept
        value = self._make(name)
        if value is None:
            return None
        body = msgspec.json.encode(value)
        tag = b'"' + hashlib.blake2b(body, digest_size=16).hexdigest().encode() + b'"'
        packed = len(body) >= COMPRESSED_FROM
        # Only the compressed form is kept: hardly any client takes the other.
        self._kept = made = _Made(version, tag, gzip.compress(body, 6, mtime=0) if packed else body, packed)
        return made


def accepts_gzip(header: bytes) -> bool:
    """Whether an Accept-Encoding header takes gzip."""
    weights = {name.strip(): weight for name, _, weight in (item.partition(b";") for item in header.split(b","))}
    weight = weights.get(b"gzip", weights.get(b"*"))
    return weight is not None and weight.replace(b" ", b"").rstrip(b"0.") != b"q="


def _nothing_at(path: str) -> object:
    """The body of an error, in the form of all others."""
    detail = {"type": "not_found", "message": f"There is nothing at {path}.", "details": "", "extra_info": {}}
    return {"error": detail, "node_errors": {}}

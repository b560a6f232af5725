"""Answers of the raw handlers: ready bytes with a status and headers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .asgi import HeaderList, Send

JSON: Final = b"application/json; charset=utf-8"
HTML: Final = b"text/html; charset=utf-8"

PIECE: Final = 256 * 1024
"""Bytes of an answer that are handed to the server at once."""

JOINED_AT_ONCE: Final = 1024 * 1024
"""Bytes of an answer that are put together on the event loop."""

encoder: Final = msgspec.json.Encoder()


async def send_pieces(send: Send, body: bytes, *, more: bool = False) -> None:
    """Write a large body: a client that reads slowly shall hold up its own answer, not fill the memory with it."""
    whole = memoryview(body)
    for start in range(0, len(whole), PIECE):
        last = start + PIECE >= len(whole)
        await send({"type": "http.response.body", "body": whole[start : start + PIECE], "more_body": more or not last})
        await asyncio.sleep(0)


async def joined(parts: list[bytes]) -> bytes:
    """The parts of an answer as one; many bytes are put together in a thread."""
    if sum(map(len, parts)) > JOINED_AT_ONCE:
        return await asyncio.to_thread(b"".join, parts)
    return b"".join(parts)


class Answer:
    """A whole answer.

    Attributes:
        after: called when the answer was written, or could not be.
    """

    __slots__ = ("after", "body", "headers", "media", "status")

    def __init__(
        self,
        body: bytes = b"",
        *,
        status: int = 200,
        media: bytes | None = JSON,
        headers: Sequence[tuple[bytes, bytes]] = (),
        after: Callable[[], None] | None = None,
    ) -> None:
        self.body = body
        self.status = status
        self.media = media
        self.headers = headers
        self.after = after

    async def send(self, send: Send, common: HeaderList, *, head: bool) -> None:
        """Write it; ``common`` headers stand in every answer, ``head`` leaves the body out."""
        headers: HeaderList = [(b"content-length", b"%d" % len(self.body))]
        if self.media is not None:
            headers.append((b"content-type", self.media))
        headers.extend(self.headers)
        headers.extend(common)
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        if head or len(self.body) <= PIECE:
            await send({"type": "http.response.body", "body": b"" if head else self.body})
        else:
            await send_pieces(send, self.body)


def json_answer(value: object, *, status: int = 200, headers: Sequence[tuple[bytes, bytes]] = ()) -> Answer:
    """An answer of JSON."""
    return Answer(encoder.encode(value), status=status, headers=headers)


def done() -> Answer:
    """The answer of a command that has nothing to tell: an empty object, because clients parse it."""
    return Answer(b"{}")

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

encoder: Final = msgspec.json.Encoder()


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
        body = b"" if head else self.body
        # In pieces: a client that reads slowly shall hold up its own answer, not fill the memory with it.
        whole = memoryview(body)
        start = 0
        while len(body) - start > PIECE:
            await send({"type": "http.response.body", "body": whole[start : start + PIECE], "more_body": True})
            await asyncio.sleep(0)
            start += PIECE
        await send({"type": "http.response.body", "body": whole[start:] if start else body})


def json_answer(value: object, *, status: int = 200, headers: Sequence[tuple[bytes, bytes]] = ()) -> Answer:
    """An answer of JSON."""
    return Answer(encoder.encode(value), status=status, headers=headers)


def done() -> Answer:
    """The answer of a command that has nothing to tell: an empty object, because clients parse it."""
    return Answer(b"{}")

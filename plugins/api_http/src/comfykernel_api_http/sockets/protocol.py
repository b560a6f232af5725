"""uvicorn's WebSocket protocol, made able to let go of a client that never reads, and quicker at sending."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State

if TYPE_CHECKING:
    from ..asgi import Message, Scope

ABORT: Final = "comfykernel.abort"
"""Member of a connection's state: a function that ends the connection whatever still waits to be written."""

LAST_WORDS_S: Final = 5.0
"""Seconds that a connection which is being closed gets to take what was written."""


TEXT: Final = 0x81
BINARY: Final = 0x82
"""First byte of a whole frame (RFC 6455, 5.2)."""


class SocketProtocol(WebSocketsSansIOProtocol):
    """Closing a transport waits until the other side has read everything: one that never reads would stay for ever."""

    def __init__(self, *, app_state: dict[str, Any], **options: Any) -> None:
        super().__init__(app_state={**app_state, ABORT: self._abort}, **options)

    async def send(self, message: Message) -> None:  # type: ignore[override]
        """Send a message of the application.

        A preview goes to many clients at once: on an open connection its frame is made here, without the copies of a
        general protocol. Frames of a server carry no mask, and the extension that compresses is off.
        """
        quick = message["type"] == "websocket.send" and self.writable.is_set() and self.conn.state is State.OPEN
        if not quick or self.disconnected or self.close_sent or not self.handshake_complete:
            await super().send(message)  # type: ignore[arg-type]
            return
        data: bytes | None = message.get("bytes")
        body: bytes = message["text"].encode() if data is None else data
        self.transport.write(frame_header(TEXT if data is None else BINARY, len(body)) + body)

    def keepalive_timeout(self) -> None:
        """The client has not answered a ping."""
        super().keepalive_timeout()
        self.loop.call_later(LAST_WORDS_S, self._abort)

    def _abort(self) -> None:
        self.transport.abort()


def frame_header(first: int, length: int) -> bytes:
    """What stands before the payload of an unmasked frame (RFC 6455, 5.2)."""
    if length < 126:
        return struct.pack("!BB", first, length)
    if length < 1 << 16:
        return struct.pack("!BBH", first, 126, length)
    return struct.pack("!BBQ", first, 127, length)


def abort_of(scope: Scope) -> Callable[[], None]:
    """The function that ends a connection."""
    return cast("Callable[[], None]", scope.get("state", {}).get(ABORT, _nothing))


def _nothing() -> None:
    """Another server than ours knows no such function."""

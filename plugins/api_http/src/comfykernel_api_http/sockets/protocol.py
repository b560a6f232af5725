"""uvicorn's WebSocket protocol, made able to let go of a client that never reads, and quicker at sending."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State

if TYPE_CHECKING:
    from ..asgi import Scope
    from ..outbox import Frame

PROTOCOL: Final = "comfykernel.protocol"
"""Member of a connection's state: its protocol, which knows quicker ways than those of ASGI."""

LAST_WORDS_S: Final = 5.0
"""Seconds that a connection which is being closed gets to take what was written."""


TEXT: Final = 0x81
BINARY: Final = 0x82
"""First byte of a whole frame (RFC 6455, 5.2)."""


class SocketProtocol(WebSocketsSansIOProtocol):
    """Closing a transport waits until the other side has read everything: one that never reads would stay for ever."""

    def __init__(self, *, app_state: dict[str, Any], **options: Any) -> None:
        super().__init__(app_state={**app_state, PROTOCOL: self}, **options)

    def is_writable(self) -> bool:
        """Whether the client has taken what was written before."""
        return self.writable.is_set()

    async def wait_until_writable(self) -> None:
        """Wait until the client has taken what was written before, or has gone."""
        await self.writable.wait()

    def write_frames(self, frames: list[Frame]) -> None:
        """Write frames in one go; a client that has gone, or was told to, gets nothing.

        A preview goes to many clients at once: its frame is made once for all of them, since frames of a server carry
        no mask and the extension that compresses is off.
        """
        if not self.disconnected and not self.close_sent and self.conn.state is State.OPEN:
            self.transport.writelines([frame.wire or _make_wire(frame) for frame in frames])

    def keepalive_timeout(self) -> None:
        """The client has not answered a ping."""
        super().keepalive_timeout()
        self.loop.call_later(LAST_WORDS_S, self.abort)

    def abort(self) -> None:
        """End the connection, whatever still waits to be written."""
        self.transport.abort()


def _make_wire(frame: Frame) -> bytes:
    text = isinstance(frame.data, str)
    body = frame.data.encode() if isinstance(frame.data, str) else frame.data
    frame.wire = frame_header(TEXT if text else BINARY, len(body)) + body
    return frame.wire


def frame_header(first: int, length: int) -> bytes:
    """What stands before the payload of an unmasked frame (RFC 6455, 5.2)."""
    if length < 126:
        return struct.pack("!BB", first, length)
    if length < 1 << 16:
        return struct.pack("!BBH", first, 126, length)
    return struct.pack("!BBQ", first, 127, length)


def protocol_of(scope: Scope) -> SocketProtocol | None:
    """The protocol of a connection; nothing under another server than ours."""
    return cast("SocketProtocol | None", scope.get("state", {}).get(PROTOCOL))

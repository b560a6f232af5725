"""One WebSocket connection: who listens, what waits for it, and the task that writes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from ..outbox import Frame, Outbox

if TYPE_CHECKING:
    from ..asgi import Send
    from ..outbox import Kind
    from .protocol import SocketProtocol

TOO_SLOW: Final = 1013
"""Close code: come back later."""

REASON: Final = "The client reads too slowly."

GRACE_S: Final = 10.0
"""Seconds that a client which is too slow gets to read that it is, before its connection is cut."""

WRITTEN_AT_ONCE: Final = 64 * 1024
"""Bytes that are handed over in one go: so many wait for a client that reads slowly besides what is in the outbox."""


class Connection:
    """A client that listens.

    Attributes:
        sid: the id under which prompts are attributed to it.
        user: whose connection it is.
        wants_preview_metadata: it asked for previews that tell their node.
        wants_text_metadata: it asked for texts that tell their prompt.
        wants_logs: it asked for lines of the log.
        outbox: what waits to be written.
    """

    def __init__(self, sid: str, user: str, send: Send, protocol: SocketProtocol | None = None) -> None:
        self.sid = sid
        self.user = user
        self.wants_preview_metadata = False
        self.wants_text_metadata = False
        self.wants_logs = False
        self.outbox = Outbox(self._cut_soon)
        self._send = send
        self._protocol = protocol
        self._stuck = asyncio.Event()
        self._writes_soon = False

    def put(self, data: str | bytes, *, kind: Kind = "message", key: str = "") -> None:
        """Queue a message for this client alone."""
        self.put_frame(Frame(data, kind, key))

    def put_frame(self, frame: Frame) -> None:
        """Queue a frame that others may get, too; what comes in one turn of the event loop is written in one go."""
        self.outbox.put(frame)
        if self._protocol is not None and not self._writes_soon:
            self._write_soon(self._protocol)

    async def write(self) -> None:
        """Write what clients do not take at once, until too much waits for one that does not read; then close."""
        if self._protocol is None:
            await self._write_as_asgi()
        else:
            while not self.outbox.overflowed:
                await self._stuck.wait()
                self._stuck.clear()
                await self._protocol.wait_until_writable()
                self._write_ready(self._protocol)
        await self._send({"type": "websocket.close", "code": TOO_SLOW, "reason": REASON})

    async def _write_as_asgi(self) -> None:
        while frames := await self.outbox.take():
            for frame in frames:
                key = "text" if isinstance(frame.data, str) else "bytes"
                await self._send({"type": "websocket.send", key: frame.data})

    def _write_soon(self, protocol: SocketProtocol) -> None:
        self._writes_soon = True
        asyncio.get_running_loop().call_soon(self._write_ready, protocol)

    def _write_ready(self, protocol: SocketProtocol) -> None:
        self._writes_soon = False
        if not protocol.is_writable():
            self._stuck.set()
        elif frames := self.outbox.take_ready(WRITTEN_AT_ONCE):
            protocol.write_frames(frames)
            if self.outbox.has_more():
                self._write_soon(protocol)

    def _cut_soon(self) -> None:
        self._stuck.set()
        # A frame that is being written waits for ever when nobody reads.
        if self._protocol is not None:
            asyncio.get_running_loop().call_later(GRACE_S, self._protocol.abort)

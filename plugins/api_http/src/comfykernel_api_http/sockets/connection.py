"""One WebSocket connection: who listens, what waits for it, and the task that writes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from ..outbox import Outbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..asgi import Send

TOO_SLOW: Final = 1013
"""Close code: come back later."""

REASON: Final = "The client reads too slowly."

GRACE_S: Final = 10.0
"""Seconds that a client which is too slow gets to read that it is, before its connection is cut."""

WRITTEN_AT_ONCE: Final = 64 * 1024
"""Bytes after which the writer lets the system take what was written: only then it learns that a client is slow."""


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

    def __init__(self, sid: str, user: str, send: Send, abort: Callable[[], None] | None = None) -> None:
        self.sid = sid
        self.user = user
        self.wants_preview_metadata = False
        self.wants_text_metadata = False
        self.wants_logs = False
        self.outbox = Outbox(self._cut_soon)
        self.put = self.outbox.put
        self._send = send
        self._abort = abort

    async def write(self) -> None:
        """Write frames until too much waits for a client that does not read; then close."""
        written = 0
        while (frame := await self.outbox.take()) is not None:
            key = "text" if isinstance(frame.data, str) else "bytes"
            await self._send({"type": "websocket.send", key: frame.data})
            written += len(frame.data)
            if written > WRITTEN_AT_ONCE:
                written = 0
                await asyncio.sleep(0)
        await self._send({"type": "websocket.close", "code": TOO_SLOW, "reason": REASON})

    def _cut_soon(self) -> None:
        # A frame that is being written waits for ever when nobody reads.
        if self._abort is not None:
            asyncio.get_running_loop().call_later(GRACE_S, self._abort)

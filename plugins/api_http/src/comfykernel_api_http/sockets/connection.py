"""One WebSocket connection: a bounded queue of frames and the task that writes them."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from ..asgi import Message, Send

MAX_FRAMES: Final = 4_000
"""Frames that may wait for a client that reads slowly."""

MAX_BYTES: Final = 32 * 1024 * 1024
"""Bytes that may wait; above this previews are dropped, then old states, then the connection."""

TOO_SLOW: Final = 1013
"""Close code: come back later."""

Kind: TypeAlias = Literal["message", "preview", "state"]


class Frame(NamedTuple):
    """A frame on its way. A ``state`` is made worthless by a later one with the same ``key``."""

    data: str | bytes
    kind: Kind
    key: str


class Connection:
    """A client that listens.

    Attributes:
        sid: the id under which prompts are attributed to it.
        user: whose connection it is.
        wants_preview_metadata: it asked for previews that tell their node.
        wants_logs: it asked for lines of the log.
    """

    def __init__(self, sid: str, user: str, send: Send) -> None:
        self.sid = sid
        self.user = user
        self.wants_preview_metadata = False
        self.wants_logs = False
        self._send = send
        self._frames: deque[Frame] = deque()
        self._bytes = 0
        self._ready = asyncio.Event()
        self._close: Message | None = None

    def put(self, data: str | bytes, *, kind: Kind = "message", key: str = "") -> None:
        """Queue a frame; never waits."""
        if self._close is not None:
            return
        self._frames.append(Frame(data, kind, key))
        self._bytes += len(data)
        if self._bytes > MAX_BYTES or len(self._frames) > MAX_FRAMES:
            self._shed()
        self._ready.set()

    def close(self, code: int, reason: str) -> None:
        """Close after what is being written; what waits is dropped."""
        self._frames.clear()
        self._bytes = 0
        self._close = {"type": "websocket.close", "code": code, "reason": reason}
        self._ready.set()

    async def write(self) -> None:
        """Write frames until the connection is closed."""
        while True:
            while self._frames:
                frame = self._frames.popleft()
                self._bytes -= len(frame.data)
                key = "text" if isinstance(frame.data, str) else "bytes"
                await self._send({"type": "websocket.send", key: frame.data})
            if self._close is not None:
                await self._send(self._close)
                return
            self._ready.clear()
            await self._ready.wait()

    def _shed(self) -> None:
        kept = [frame for frame in self._frames if frame.kind != "preview"]
        if _too_many(kept):
            last = {frame.key: index for index, frame in enumerate(kept) if frame.kind == "state"}
            kept = [f for index, f in enumerate(kept) if f.kind != "state" or last[f.key] == index]
        if _too_many(kept):
            self.close(TOO_SLOW, "The client reads too slowly.")
            return
        self._frames = deque(kept)
        self._bytes = sum(len(frame.data) for frame in kept)


def _too_many(frames: list[Frame]) -> bool:
    # Half of the limits: a client at the edge is not sorted through again at every frame.
    return len(frames) > MAX_FRAMES // 2 or sum(len(frame.data) for frame in frames) > MAX_BYTES // 2

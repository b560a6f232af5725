"""What waits for one client to be sent: bounded, so that a client that does not read costs nobody anything."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, Literal, TypeAlias

MAX_FRAMES: Final = 4_000
"""Frames that may wait for a client that reads slowly."""

MAX_BYTES: Final = 16 * 1024 * 1024
"""Bytes that may wait; above this previews are dropped, then old states, then the client."""

Kind: TypeAlias = Literal["message", "preview", "state"]


class Frame:
    """A frame on its way, perhaps to many clients. A ``state`` is made worthless by a later one with the same ``key``.

    Attributes:
        wire: the frame as the protocol of the connection writes it; made by the first that writes it, for all.
    """

    __slots__ = ("data", "key", "kind", "wire")

    def __init__(self, data: str | bytes, kind: Kind = "message", key: str = "") -> None:
        self.data = data
        self.kind = kind
        self.key = key
        self.wire = b""


class Outbox:
    """Frames in their order. Used on the event loop.

    Attributes:
        overflowed: too much waited for the client; it gets nothing more.
    """

    __slots__ = ("_bytes", "_finished", "_frames", "_on_overflow", "_ready", "overflowed")

    def __init__(self, on_overflow: Callable[[], None] | None = None) -> None:
        self.overflowed = False
        self._on_overflow = on_overflow
        self._frames: deque[Frame] = deque()
        self._bytes = 0
        self._finished = False
        self._ready = asyncio.Event()

    def put(self, frame: Frame) -> None:
        """Queue a frame; never waits."""
        if self._finished:
            return
        self._frames.append(frame)
        self._bytes += len(frame.data)
        if self._bytes > MAX_BYTES or len(self._frames) > MAX_FRAMES:
            self._shed()
        self._ready.set()

    def finish(self) -> None:
        """Nothing more comes; what waits is still given out."""
        self._finished = True
        self._ready.set()

    async def take(self, at_most: int = 0) -> list[Frame]:
        """Wait for the next frame, then `take_ready`; none after the last."""
        while not self._frames:
            if self._finished:
                return []
            self._ready.clear()
            await self._ready.wait()
        return self.take_ready(at_most)

    def take_ready(self, at_most: int = 0) -> list[Frame]:
        """The next frame if there is one, and those behind it that are ``at_most`` bytes with it."""
        frames = self._frames
        if not frames:
            return []
        taken = [frames.popleft()]
        size = len(taken[0].data)
        while frames and size + len(frames[0].data) <= at_most:
            taken.append(frames.popleft())
            size += len(taken[-1].data)
        self._bytes -= size
        return taken

    def has_more(self) -> bool:
        """Whether something waits."""
        return bool(self._frames)

    def waiting(self) -> list[Frame]:
        """What waits."""
        return list(self._frames)

    def _shed(self) -> None:
        kept = [frame for frame in self._frames if frame.kind != "preview"]
        if _too_many(kept):
            last = {frame.key: index for index, frame in enumerate(kept) if frame.kind == "state"}
            kept = [f for index, f in enumerate(kept) if f.kind != "state" or last[f.key] == index]
        if _too_many(kept):
            self.overflowed = True
            kept = []
            self.finish()
            if self._on_overflow is not None:
                self._on_overflow()
        self._frames = deque(kept)
        self._bytes = sum(len(frame.data) for frame in kept)


def _too_many(frames: list[Frame]) -> bool:
    # Half of the limits: a client at the edge is not sorted through again at every frame. One frame may be of any size.
    too_large = len(frames) > 1 and sum(len(frame.data) for frame in frames) > MAX_BYTES // 2
    return len(frames) > MAX_FRAMES // 2 or too_large

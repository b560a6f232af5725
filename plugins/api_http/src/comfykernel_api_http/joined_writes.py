"""A transport that hands what is written in one turn of the event loop to the system at once.

uvicorn writes the head of an answer and its body one after the other, and a socket of ours often several messages:
each would be a system call and a packet of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio


class JoinedWrites:
    """Stands for a transport; everything but writing and closing goes to it unchanged."""

    __slots__ = ("_loop", "_parts", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Write at the end of this turn."""
        if not self._parts:
            self._loop.call_soon(self.flush)
        self._parts.append(data)

    def write_now(self, data: bytes) -> None:
        """Write at once, after what waits."""
        if self._parts:
            self._parts.append(data)
            self.flush()
        else:
            self._transport.write(data)

    def flush(self) -> None:
        """Hand over what waits."""
        if self._parts:
            parts, self._parts = self._parts, []
            self._transport.write(parts[0] if len(parts) == 1 else b"".join(parts))

    def writelines(self, parts: list[bytes]) -> None:
        """Hand over at once what waits, then these."""
        self.flush()
        self._transport.writelines(parts)

    def write_eof(self) -> None:
        """Write what waits, then say that nothing follows."""
        self.flush()
        self._transport.write_eof()

    def close(self) -> None:
        """Write what waits, then close."""
        self.flush()
        self._transport.close()

    # Any: every other member of whatever transport the loop has made.
    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

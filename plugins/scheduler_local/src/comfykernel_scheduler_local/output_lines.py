"""Turns what a worker prints into lines, in bounded memory and at a bounded rate."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_LINE: Final = 8 * 1024
"""Bytes of a line that are kept; the rest of a longer one is dropped."""
BURST: Final = 64 * 1024
"""Bytes after which reading pauses, so that a worker that prints without end waits in its print and not the server."""
PAUSE_S: Final = 0.02


class OutputLines(asyncio.Protocol):
    """Reads a pipe and hands over whole lines as text. A line rewritten with carriage returns, such as a progress bar,
    comes once, in its last form."""

    def __init__(self, on_lines: Callable[[list[str]], None]) -> None:
        self._on_lines = on_lines
        self._rest = b""
        self._since_pause = 0
        self._transport: asyncio.ReadTransport | None = None
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The pipe is open."""
        self._transport = cast("asyncio.ReadTransport", transport)

    def data_received(self, data: bytes) -> None:
        """Some bytes were printed."""
        whole, newline, rest = (self._rest + data).rpartition(b"\n")
        self._rest = _last_form(rest)
        if newline:
            self._hand_over(whole)
        self._slow_down(len(data))

    def connection_lost(self, exc: Exception | None) -> None:
        """The worker and all its children are gone."""
        if self._rest:
            self._hand_over(self._rest)
        if not self.closed.done():
            self.closed.set_result(None)

    def close(self) -> None:
        """Stop reading."""
        if self._transport is not None:
            self._transport.close()

    def _hand_over(self, whole: bytes) -> None:
        lines = whole.split(b"\n")
        self._on_lines([_last_form(line).decode("utf-8", "replace").rstrip("\r") for line in lines])

    def _slow_down(self, size: int) -> None:
        self._since_pause += size
        if self._since_pause < BURST or self._transport is None:
            return
        self._since_pause = 0
        self._transport.pause_reading()
        asyncio.get_running_loop().call_later(PAUSE_S, self._resume)

    def _resume(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()


def _last_form(line: bytes) -> bytes:
    """What the line shows after its last rewriting; a carriage return at its end may belong to a line end."""
    body = line.rstrip(b"\r")
    shown = body.rpartition(b"\r")[2][:MAX_LINE]
    return shown if len(body) == len(line) else shown + b"\r"

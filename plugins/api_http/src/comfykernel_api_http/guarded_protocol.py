"""uvicorn's HTTP protocol with bounds on what comes before a request is one: the size of its head and the wait for it.

What is no HTTP gets an answer of the same form as every other error.
"""

from __future__ import annotations

import http
from typing import TYPE_CHECKING, Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .answers import JSON, encoder
from .errors import RequestRefused, response_of

if TYPE_CHECKING:
    import asyncio

MAX_HEAD: Final = 128 * 1024
"""Bytes of a request's first line and headers together."""

HEAD_S: float = 60.0
"""Seconds in which a head must be whole, from the connection or from its first byte."""

LINGER_S: Final = 2.0
"""Seconds in which a refused client may send on, which is dropped: closing at once would take its answer away."""


class GuardedProtocol(HttpToolsProtocol):
    """Closes connections that send no requests, or such that end nowhere."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._in_head = False
        self._refused = False
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected."""
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(HEAD_S, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone, or was told to."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes of requests."""
        if self._refused:
            return
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if not self._in_head:
            if self._head_timer is not None:
                self._stop_waiting()
        elif self._head_bytes > MAX_HEAD:
            self._refuse(431, "head_too_large", f"The address and the headers are longer than {MAX_HEAD} bytes.")
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_S, self._head_is_late)

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._in_head = False
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP."""
        self._refuse(400, "invalid_http", msg)

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self._in_head:
            self._refuse(408, "head_too_late", f"The request was not whole after {HEAD_S:g} seconds.")
        else:
            self.transport.close()

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, status: int, type: str, message: str) -> None:
        self._in_head, self._refused = False, True
        self._stop_waiting()
        self._unset_keepalive_if_required()
        # Behind an answer that is not whole, another one could not be told from it.
        if self.transport.is_closing() or self._is_answering():
            self.transport.close()
            return
        body = encoder.encode(response_of(RequestRefused(status, type, message)))
        head = f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}\r\n".encode()
        length = b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        self.transport.write(b"%scontent-type: %s\r\n%s%s" % (head, JSON, length, body))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._head_timer = self.loop.call_later(LINGER_S, self.transport.close)

    def _is_answering(self) -> bool:
        return self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete

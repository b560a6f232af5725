"""Answers the questions that clients ask most without a task and without the ASGI protocol.

Clients poll ``/prompt`` and ``/queue`` many times a second. Their answers are known at once, so they are written while
the request is being read: about half the processor time of the usual way. Everything out of the ordinary (another
method, an upgrade, a request behind one that is not answered yet, a refused origin, a token) takes the usual way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from .errors import RequestRefused
from .guarded_protocol import GuardedProtocol
from .joined_writes import JoinedWrites

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from .access import AccessRules
    from .asgi import HeaderList

Instant: TypeAlias = "Callable[[], bytes | None]"
"""Makes the JSON body of an answer; nothing when that would take long."""


class InstantAnswers:
    """Bodies by the path as it was sent, and what all answers share."""

    def __init__(
        self, bodies: dict[bytes, Instant], access: AccessRules, common: HeaderList, *, token_needed: Callable[[], bool]
    ) -> None:
        self.bodies = bodies
        self.token_needed = token_needed
        self._access = access
        lines = [(b"content-type", b"application/json; charset=utf-8"), *common]
        self._headers = b"".join(b"%s: %s\r\n" % line for line in lines)

    def answer(self, make: Instant, headers: dict[bytes, bytes], more: HeaderList) -> bytes | None:
        """The whole answer as bytes; nothing when the request must take the usual way."""
        try:
            self._access.check(headers)
        except RequestRefused:
            return None
        body = make()
        if body is None:
            return None
        lines = b"".join(b"%s: %s\r\n" % line for line in more)
        return b"HTTP/1.1 200 OK\r\n%scontent-length: %d\r\n%s\r\n%s" % (lines, len(body), self._headers, body)


class InstantProtocol(GuardedProtocol):
    """uvicorn's HTTP protocol with a way past it."""

    def __init__(self, instant: InstantAnswers, **options: Any) -> None:
        super().__init__(**options)
        self._instant = instant
        self._answered = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected."""
        self._joined = JoinedWrites(transport, self.loop)
        super().connection_made(self._joined)  # type: ignore[arg-type]

    def on_message_begin(self) -> None:
        """A request begins."""
        self._answered = False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The headers are read: answer, or begin the usual way."""
        make = self._instant.bodies.get(self.url)
        if make is not None and self._is_ordinary() and not self._instant.token_needed():
            answer = self._instant.answer(make, dict(self.headers), self.server_state.default_headers)
            if answer is not None:
                self._answered = True
                self._in_head = False
                self._joined.write_now(answer)
                self.on_response_complete()
                return
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of a body: of no use to an answer that is written."""
        if not self._answered:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is read."""
        if not self._answered:
            super().on_message_complete()

    def _is_ordinary(self) -> bool:
        return (
            self.parser.get_method() == b"GET"
            and self.parser.get_http_version() == "1.1"
            and self.parser.should_keep_alive()
            and not self.parser.should_upgrade()
            and not self.expect_100_continue
            and not self.flow.write_paused
            and (self.cycle is None or self.cycle.response_complete)
        )

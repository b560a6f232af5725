"""uvicorn's WebSocket protocol, made able to let go of a client that is gone without a word or never reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

if TYPE_CHECKING:
    from ..asgi import Scope

ABORT: Final = "comfykernel.abort"
"""Member of a connection's state: a function that ends the connection whatever still waits to be written."""

LAST_WORDS_S: Final = 5.0
"""Seconds that a connection which is being closed gets to take what was written."""


class SocketProtocol(WebSocketsSansIOProtocol):
    """Closing a transport waits until the other side has read everything: one that never reads would stay for ever."""

    def __init__(self, *, app_state: dict[str, Any], **options: Any) -> None:
        super().__init__(app_state={**app_state, ABORT: self._abort}, **options)

    def keepalive_timeout(self) -> None:
        """The client has not answered a ping."""
        super().keepalive_timeout()
        self.loop.call_later(LAST_WORDS_S, self._abort)

    def _abort(self) -> None:
        self.transport.abort()


def abort_of(scope: Scope) -> Callable[[], None]:
    """The function that ends a connection."""
    return cast("Callable[[], None]", scope.get("state", {}).get(ABORT, _nothing))


def _nothing() -> None:
    """Another server than ours knows no such function."""

"""The route /ws: takes a connection from its handshake to its end."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

import msgspec

from . import messages
from .connection import Connection

if TYPE_CHECKING:
    from ..answers import Answer
    from ..asgi import HeaderList, Receive, Scope, Send
    from ..services import Services
    from .hub import Hub

MAX_SID_LENGTH: Final = 1_000
"""Characters of a client's id."""

POLICY_VIOLATION: Final = 1008


async def serve_socket(scope: Scope, receive: Receive, send: Send, services: Services, user: str) -> None:
    """Serve one connection; returns when it is closed."""
    query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
    sid = query.get("clientId", "")[:MAX_SID_LENGTH] or uuid.uuid4().hex
    await receive()
    taken = services.hub.find(sid)
    if taken is not None and taken.user != user:
        await send({"type": "websocket.close", "code": POLICY_VIOLATION})
        return
    await send({"type": "websocket.accept"})
    connection = Connection(sid, user, send)
    writer = asyncio.create_task(connection.write())
    services.hub.add(connection)
    reader = asyncio.create_task(_read(receive, connection, services.hub))
    try:
        await asyncio.wait({reader, writer}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        services.hub.remove(connection)
        for task in (reader, writer):
            task.cancel()
        # A client that vanishes in the middle of a frame is no error.
        await asyncio.gather(reader, writer, return_exceptions=True)


async def refuse_socket(answer: Answer, send: Send, common: HeaderList) -> None:
    """Answer a handshake with an error."""
    headers: HeaderList = [(b"content-length", b"%d" % len(answer.body)), (b"content-type", answer.media or b"")]
    headers += [*answer.headers, *common]
    await send({"type": "websocket.http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": answer.body})


async def _read(receive: Receive, connection: Connection, hub: Hub) -> None:
    """Read until the client leaves. Only its first message counts, and only when it tells its features."""
    first = True
    while (message := await receive())["type"] != "websocket.disconnect":
        text = message.get("text")
        if not first or text is None:
            continue
        with contextlib.suppress(msgspec.DecodeError, RecursionError):
            value = msgspec.json.decode(text)
            first = False
            if isinstance(value, dict) and value.get("type") == "feature_flags":
                _take_features(value.get("data"), connection)
                connection.put(messages.text("feature_flags", hub.features))


def _take_features(data: object, connection: Connection) -> None:
    if isinstance(data, dict):
        connection.wants_preview_metadata = data.get("supports_preview_metadata") is True

"""The route /ws: takes a connection from its handshake to its end."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

import msgspec

from ..errors import RequestRefused
from ..features import PREVIEW_METADATA, TEXT_METADATA, server_features
from . import messages
from .connection import Connection
from .protocol import protocol_of

if TYPE_CHECKING:
    from comfykernel_sdk.json_types import JsonObject

    from ..answers import Answer
    from ..asgi import HeaderList, Receive, Scope, Send
    from ..services import Services

MAX_SID_LENGTH: Final = 1_000
"""Characters of a client's id."""

MAX_FEATURES: Final = 64 * 1024
"""Characters of the message in which a client tells its features; a longer one is not looked into."""


async def serve_socket(scope: Scope, receive: Receive, send: Send, services: Services, user: str) -> None:
    """Serve one connection; returns when it is closed.

    Raises:
        RequestRefused: the client's id is too long, or another user's.
    """
    sid = _client_id(scope)
    taken = services.hub.find(sid)
    if taken is not None and taken.user != user:
        raise RequestRefused(403, "client_taken", "The clientId belongs to another user.", hint="Use one of your own.")
    await receive()
    await send({"type": "websocket.accept"})
    connection = Connection(sid, user, send, protocol_of(scope))
    writer = asyncio.create_task(connection.write())
    services.hub.add(connection)
    features = server_features(max_upload_size=services.max_body, headers=dict(scope["headers"]))
    reader = asyncio.create_task(_read(receive, connection, features))
    try:
        await asyncio.wait({reader, writer}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        services.hub.remove(connection)
        for task in (reader, writer):
            task.cancel()
        # A client that vanishes in the middle of a frame is no error.
        await asyncio.gather(reader, writer, return_exceptions=True)


def _client_id(scope: Scope) -> str:
    """The id that a client gives itself, else a new one."""
    sid = dict(parse_qsl(scope["query_string"].decode("latin-1"))).get("clientId", "")
    if len(sid) > MAX_SID_LENGTH:
        raise RequestRefused(400, "invalid_parameter", f"clientId has more than {MAX_SID_LENGTH} characters.")
    return sid or uuid.uuid4().hex


async def refuse_socket(answer: Answer, send: Send, common: HeaderList) -> None:
    """Answer a handshake with an error."""
    headers: HeaderList = [(b"content-length", b"%d" % len(answer.body)), (b"content-type", answer.media or b"")]
    headers += [*answer.headers, *common]
    await send({"type": "websocket.http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": answer.body})


async def _read(receive: Receive, connection: Connection, features: JsonObject) -> None:
    """Read until the client leaves. Only its first message counts, and only when it tells its features."""
    first = True
    while (message := await receive())["type"] != "websocket.disconnect":
        text = message.get("text")
        if not first or text is None or len(text) > MAX_FEATURES:
            continue
        with contextlib.suppress(msgspec.DecodeError, RecursionError):
            value = msgspec.json.decode(text)
            first = False
            if isinstance(value, dict) and value.get("type") == "feature_flags":
                _take_features(value.get("data"), connection)
                connection.put(messages.text("feature_flags", features))


def _take_features(data: object, connection: Connection) -> None:
    if isinstance(data, dict):
        connection.wants_preview_metadata = data.get(PREVIEW_METADATA) is True
        connection.wants_text_metadata = data.get(TEXT_METADATA) is True

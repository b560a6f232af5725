"""JSON of requests: as lenient as Python's own reader, bounded in depth and number of values.

A large body is read in a thread and in pieces: the decoder does not let other threads run while it works on one, and
nobody else may wait for it longer than a few milliseconds.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

import msgspec

from comfykernel_sdk.errors import BadInput

from .request import Request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from litestar import Request as RoutedRequest

    from comfykernel_sdk.json_types import Json, JsonObject

MAX_DEPTH: Final = 200
"""Nesting of lists and objects in a request; deeper ones could exhaust the stack of whoever reads them next."""

MAX_CONTAINERS: Final = 200_000
"""Lists and objects in a request, counted by their brackets; millions of them would hold up everybody for seconds."""

MAX_COMMAS: Final = 1_000_000
"""The same of all values."""

AT_ONCE: Final = 64 * 1024
"""Bytes that are decoded in one go, and the largest body that is decoded on the event loop: well under 1 ms."""

SPLIT_DEPTH: Final = 8
"""How deep in a body large parts are taken apart; what lies deeper is decoded in one go."""

DENSE: Final = 16
"""Bytes a value below which taking a list apart costs more than decoding it."""

_decoder: Final = msgspec.json.Decoder()
_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_items: Final = msgspec.json.Decoder(list[msgspec.Raw])


async def read_json(request: Request | RoutedRequest[Any, Any, Any], *, empty: Json = None) -> Json:
    """The value that the body of a request holds; ``empty`` when there is no body and this is given.

    Raises:
        BadInput: see :func:`decode_json`.
    """
    data = await read_text(request)
    if not data and empty is not None:
        return empty
    return await decoded(data)


async def read_object(request: Request | RoutedRequest[Any, Any, Any]) -> JsonObject:
    """The same, when it must be an object.

    Raises:
        BadInput: it is no JSON object.
    """
    return as_object(await read_json(request))


async def read_text(request: Request | RoutedRequest[Any, Any, Any]) -> bytes | bytearray:
    """The body of a request that shall hold JSON.

    Raises:
        BadInput: it has more lists, objects or values than the server takes.
    """
    chunks: AsyncIterator[bytes] = request.chunks() if isinstance(request, Request) else request.stream()
    data: bytes | bytearray = b""
    containers = commas = 0
    async for chunk in chunks:
        # Counted as it comes: the whole would take milliseconds.
        containers += chunk.count(b"[") + chunk.count(b"{")
        commas += chunk.count(b",")
        if containers > MAX_CONTAINERS or commas > MAX_COMMAS:
            data = b""  # the rest is read and dropped, so that the client gets to read the answer
        elif not data:
            data = chunk
        else:
            if not isinstance(data, bytearray):
                data = bytearray(data)
            data += chunk
    if containers > MAX_CONTAINERS:
        raise _too_many("lists and objects", MAX_CONTAINERS, "too_many_containers")
    if commas > MAX_COMMAS:
        raise _too_many("values", MAX_COMMAS, "too_many_values")
    return data


async def decoded(data: bytes | bytearray) -> Json:
    """The value that a text holds, without holding up others; raises as :func:`decode_json`."""
    return decode_json(data) if len(data) <= AT_ONCE else await asyncio.to_thread(decode_json, data)


def decode_json(data: bytes | bytearray) -> Json:
    """The value that a text holds.

    NaN, infinities, numbers out of range and a byte order mark are read as Python's ``json`` does.

    Raises:
        BadInput: it is no JSON, holds half a surrogate pair, or is nested more than ``MAX_DEPTH`` deep.
    """
    try:
        value = _decode(data, SPLIT_DEPTH)
    except RecursionError:
        raise _too_deep() from None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        value = _read_leniently(data)
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH:
        _check_depth(value)
    return value


def as_object(value: Json) -> JsonObject:
    """The value, when it is an object.

    Raises:
        BadInput: it is none.
    """
    if not isinstance(value, dict):
        raise BadInput("The body must be a JSON object.", type="invalid_body")
    return value


def _decode(data: bytes | bytearray | msgspec.Raw, depth: int) -> Json:
    """Decode piece by piece: between the pieces other threads get their turn."""
    text = memoryview(data)
    if len(text) > AT_ONCE and depth:
        first = bytes(text[:64]).lstrip()[:1]
        if first == b"{":
            return {name: _decode(part, depth - 1) for name, part in _members.decode(text).items()}
        if first == b"[" and bytes(text).count(b",") * DENSE < len(text):
            return [_decode(part, depth - 1) for part in _items.decode(text)]
    value: Json = _decoder.decode(text)
    return value


def _read_leniently(data: bytes | bytearray) -> Json:
    try:
        value: Json = json.loads(data)
        msgspec.json.encode(value)
    except RecursionError:
        raise _too_deep() from None
    except UnicodeEncodeError:
        raise BadInput("A text of the body holds half a surrogate pair.", type="invalid_json") from None
    except ValueError as error:
        raise BadInput("The body is not valid JSON.", details=str(error), type="invalid_json") from None
    return value


def _check_depth(value: Json) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)  # type: ignore[union-attr]
            if isinstance(child, (dict, list))
        ]
        if not level:
            return
    raise _too_deep()


def _too_deep() -> BadInput:
    return BadInput("The body is nested too deeply.", details=f"At most {MAX_DEPTH} levels.", type="too_deep")


def _too_many(what: str, limit: int, type: str) -> BadInput:
    return BadInput(f"The body has too many {what}.", details=f"At most {limit}.", type=type)
